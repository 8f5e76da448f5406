"""Exact rays of a few stars whose waves are tabulated: many fits see the same places.

The quadrature is that of `rays.nodes`, with the cosines and sines of all modes at all nodes held
as matrices. For small fits alone: a product costs a twentieth of one that makes them anew.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dust3d.fields.base import Field
from dust3d.fields.fourier import FourierField
from dust3d.fields.sum import SumField
from dust3d.inference.prior import FourierPrior
from dust3d.rays.nodes import legendre_nodes
from dust3d.transforms import separable

MOST_BYTES = 1 << 28


def table_bytes(stars: int, nodes: int, modes: int) -> int:
    """Memory that the waves take."""
    return 16 * stars * nodes * modes


def waves_at(prior: FourierPrior, points: Float[Array, "n ndim"]) -> Float[Array, "n waves"]:
    """Cosines, then sines, of all modes of a prior at points [kpc]."""
    made = jax.vmap(lambda x: separable.waves(x, prior.modes, prior.order, prior.half_widths))
    found = made(points)
    return jnp.concatenate([found.real, found.imag], axis=1)


def ln_density_at(
    field: Field, points: Float[Array, "n ndim"], waves: Float[Array, "n waves"]
) -> Float[Array, " n"]:
    """ln rho of a series plus a mean at points [kpc] whose waves are tabulated."""
    assert isinstance(field, SumField)
    series, mean = field.parts
    assert isinstance(series, FourierField)
    return waves @ jnp.concatenate([series.cos, series.sin]) + mean.at(points)


class TabulatedSightlines(eqx.Module):
    """Rays to stars [kpc] in one batch, for Fourier series of one prior plus a mean.

    Parameters
    ----------
    positions
        Stars [kpc].
    nodes
        Gauss-Legendre nodes on each ray.
    prior
        Of the series.
    """

    batches: int = eqx.field(static=True)
    nodes: int = eqx.field(static=True)
    points: Float[Array, "points ndim"]
    waves: Float[Array, "points waves"]
    steps: Float[Array, "n nodes"]

    def __init__(self, positions: Float[np.ndarray, "n ndim"], nodes: int, prior: FourierPrior):
        t, w = legendre_nodes(nodes)
        self.batches, self.nodes = 1, nodes
        points = (t[None, :, None] * positions[:, None, :]).reshape(-1, positions.shape[1])
        self.points = jnp.asarray(points)
        self.waves = waves_at(prior, self.points)
        self.steps = jnp.asarray(np.linalg.norm(positions, axis=1)[:, None] * w)

    def moments(
        self, field: Field, batch: Int[Array, ""], second: bool
    ) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """int rho ds and int rho^2 ds along the rays."""
        density = jnp.exp(ln_density_at(field, self.points, self.waves))
        density = density.reshape(self.steps.shape)
        first = jnp.sum(self.steps * density, axis=1)
        if not second:
            return first, jnp.zeros_like(first)
        return first, jnp.sum(self.steps * density**2, axis=1)
