"""What dust3d's rays are measured against: a direct sum over modes, and FINUFFT itself."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dust3d.fields.base import Field
from dust3d.fields.fourier import FourierField
from dust3d.fields.mean import ConstantMean
from dust3d.inference.batches import NodeSightlines
from dust3d.inference.prior import SumPrior
from dust3d.rays.quadrature import legendre_nodes
from dust3d.runtime import cores
from dust3d.transforms.separable import lattice_coefficients

_POINTS_AT_ONCE = 1 << 11


class DirectField(Field):
    """A Fourier series as sums of cosines and sines of k.x, and a mean.

    Parameters
    ----------
    series, mean
        The two parts of a field of ln rho.
    """

    series: FourierField
    mean: ConstantMean

    def at(self, positions: Float[Array, "n ndim"], evaluator: Any = None) -> Float[Array, " n"]:
        """ln rho at many positions [kpc]."""
        k = np.pi * self.series.modes / np.asarray(self.series.half_widths)

        def some(points):
            angle = points @ jnp.asarray(k, points.dtype).T
            return jnp.cos(angle) @ self.series.cos + jnp.sin(angle) @ self.series.sin

        n = positions.shape[0]
        size = min(n, _POINTS_AT_ONCE)
        chunks = jnp.pad(positions, ((0, -n % size), (0, 0))).reshape(-1, size, positions.shape[1])
        return self.mean.ln_density + jax.lax.map(some, chunks).ravel()[:n]


class DirectPrior(eqx.Module):
    """A prior whose fields are direct sums."""

    inner: SumPrior

    def start(self, key: Any) -> Any:
        """As the prior itself."""
        return self.inner.start(key)

    def log_density(self, xi: Any) -> Float[Array, ""]:
        """As the prior itself."""
        return self.inner.log_density(xi)

    def field(self, xi: Any) -> Field:
        """The field of whitened parameters."""
        parts = {name: part.field(xi[name]) for name, part in self.inner.parts.items()}
        return DirectField(parts["varying"], parts["mean"])


@dataclass(frozen=True)
class Nodes:
    """The nodes of exact rays to one batch of stars, as `rays.nodes.moments` makes them.

    Parameters
    ----------
    points
        Positions [kpc], shape (points, ndim).
    lengths
        The share of each in its star's extinction per density [kpc].
    rows
        The star of each.
    """

    points: np.ndarray
    lengths: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, rays: NodeSightlines) -> "Nodes":
        """Those of the first batch."""
        order = np.asarray(rays.near_first[0])
        stars = np.asarray(rays.positions[0])[order]
        points, lengths, rows, done = [], [], [], 0
        for count, wanted in rays.bands:
            t, w = legendre_nodes(wanted)
            some = stars[done : done + count]
            points.append((t.astype(some.dtype)[None, :, None] * some[:, None]).reshape(-1, 3))
            lengths.append((np.linalg.norm(some, axis=1)[:, None] * w).ravel())
            rows.append(np.repeat(order[done : done + count], len(t)))
            done += count
        return cls(*(np.concatenate(parts) for parts in (points, lengths, rows)))


class PlainFinufft:
    """FINUFFT's own Python package on the nodes of the exact rays: type 2, then type 1.

    As many modes, points, digits and threads as the exact path of dust3d; the plans are
    made and the points sorted once, as one can where points stay.

    Parameters
    ----------
    nodes
        The points.
    field
        Of the order and the box that matter.
    accuracy
        FINUFFT's `eps`.
    """

    def __init__(self, nodes: Nodes, field: FourierField, accuracy: float):
        self._nodes, self._order, self._modes = nodes, field.order, field.modes
        scale = (np.pi / np.asarray(field.half_widths)).astype(nodes.points.dtype)
        self._angles = [np.ascontiguousarray(a) for a in (nodes.points * scale).T]
        # modes 0 to m along the first axis stand where FINUFFT has -(m + 1) // 2 and up
        self._turn = np.exp(1j * ((field.order[0] + 1) // 2) * self._angles[0])
        self._shape = (field.order[0] + 1, *(2 * m + 1 for m in field.order[1:]))
        self._accuracy = accuracy
        self._plans = self.planned()
        self._lattice = np.zeros(self._shape, np.complex64)
        self._values = np.ones(len(nodes.points), np.complex64)

    def planned(self) -> tuple[Any, Any]:
        """Plans of types 2 and 1, with their points set."""
        from finufft import Plan

        plans = []
        for kind in (2, 1):
            plan = Plan(
                kind,
                self._shape,
                eps=self._accuracy,
                isign=1,
                dtype="complex64",
                nthreads=cores(),
                upsampfac=2.0,
            )
            plan.setpts(*self._angles)
            plans.append(plan)
        return plans[0], plans[1]

    def transforms(self) -> None:
        """One transform of each type, and nothing else."""
        to_points, to_modes = self._plans
        to_points.execute(self._lattice)
        to_modes.execute(self._values)

    def transforms_and_plans(self) -> None:
        """The same with the points sorted anew, as FINUFFT's simple interface does."""
        to_points, to_modes = self.planned()
        to_points.execute(self._lattice)
        to_modes.execute(self._values)

    def extinctions(
        self, field: FourierField, mean: float, stars: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Extinctions [mag] of all stars, and the density [mag / kpc] at all nodes."""
        lattice = lattice_coefficients(self._modes, self._order, field.cos, field.sin)
        values = self._plans[0].execute(np.asarray(lattice, np.complex64))
        density = np.exp(mean + (values * self._turn).real)
        share = self._nodes.lengths * density
        return np.bincount(self._nodes.rows, share, stars), density

    def gradient(self, by_extinction: np.ndarray, density: np.ndarray) -> np.ndarray:
        """Derivatives in all a_k, then in all b_k, of what depends so on the extinctions."""
        values = by_extinction[self._nodes.rows] * self._nodes.lengths * density
        found = self._plans[1].execute((values * self._turn).astype(np.complex64))
        index = tuple(self._modes[:, j] + (0 if j == 0 else m) for j, m in enumerate(self._order))
        return np.concatenate([found[index].real, found[index].imag])
