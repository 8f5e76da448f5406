"""Extinctions at all cells of a grid around the Sun: one sweep outwards for each face of the box.

The Sun sees the box as pyramids, one to each face. On the planes of one of them rays in
fixed directions make regular grids, on which a Fourier series costs a few matrix
products; the integral along the rays grows from plane to plane. Where a plane goes
through the centres of cells, the mean density on the rays is read off by quintic splines.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from math import comb, factorial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float
from scipy import ndimage

from dust3d.fields.base import Field
from dust3d.fields.fourier import AmplitudePhaseField, FourierField
from dust3d.fields.mean import ConstantMean, VerticalMean
from dust3d.fields.scales import voxel_for
from dust3d.fields.sum import SumField
from dust3d.rays.quadrature import legendre_nodes
from dust3d.runtime import cores
from dust3d.transforms.grid import cell_centres

_FEWEST_RAYS = 16
# splines need support beyond the edges of a face
_MARGIN = 8
# `voxel_for` has four voxels to a half-wave
_VOXELS_PER_HALF_WAVE = 4


def is_cheap_on_grids(field: Field) -> bool:
    """Whether a field costs less on a regular grid than at as many points."""
    match field:
        case FourierField() | AmplitudePhaseField() | ConstantMean() | VerticalMean():
            return True
        case SumField():
            return all(is_cheap_on_grids(part) for part in field.parts)
    return False


def cell_extinctions(
    field: Field, half_widths: Sequence[float], cells: Sequence[int]
) -> Float[np.ndarray, "..."]:
    """Extinctions [mag] from the Sun to the centres of equal cells that fill the box.

    To about 1e-3, in single precision.

    Parameters
    ----------
    field
        ln rho, cheap on grids.
    half_widths, cells
        The box [kpc], and the cells along each axis.
    """
    single = jax.tree.map(lambda a: a.astype(jnp.float32), field)
    centres = [cell_centres(1.0, n) for n in cells]
    mean = np.zeros(tuple(cells))
    with ThreadPoolExecutor(cores()) as pool:
        for axis, sign in product(range(len(cells)), (1, -1)):
            pyramid = _Pyramid.over(field, half_widths, axis)
            layers = np.flatnonzero(sign * centres[axis] > 0)[::sign]
            if not len(layers):
                continue
            planes = pyramid.planes(single, sign, np.abs(centres[axis][layers]))
            # the planes that follow are integrated while these are read off
            reading = [
                pool.submit(pyramid.read, plane, mean, centres, int(layer))
                for layer, plane in zip(layers, planes, strict=True)
            ]
            for done in reading:
                done.result()
    mesh = np.meshgrid(
        *(c * h for c, h in zip(centres, half_widths, strict=True)), indexing="ij", sparse=True
    )
    return mean * np.sqrt(sum(x**2 for x in mesh))


@dataclass(frozen=True)
class _Pyramid:
    """The rays to one face: through equal steps on it, also a little beyond its edges.

    Parameters
    ----------
    axis
        Perpendicular to the face.
    half_widths
        Of the box [kpc].
    slopes
        Of the rays, along each other axis: fractions of the half-width there; 0 along `axis`.
    half_waves
        Of the field, on the longest ray.
    """

    axis: int
    half_widths: tuple[float, ...]
    slopes: tuple[np.ndarray, ...]
    half_waves: float

    @classmethod
    def over(cls, field: Field, half_widths: Sequence[float], axis: int) -> "_Pyramid":
        box = np.asarray(half_widths, dtype=np.float64)
        finest = voxel_for(field, len(box))
        rays = np.maximum(np.ceil(2 * box / finest), _FEWEST_RAYS).astype(int)
        steps = [np.arange(-_MARGIN, n + 1 + _MARGIN) for n in rays]
        slopes = [2 * s / n - 1 for s, n in zip(steps, rays, strict=True)]
        slopes[axis] = np.zeros(1)
        half_waves = float(np.linalg.norm(box / finest)) / _VOXELS_PER_HALF_WAVE
        return cls(axis, tuple(box.tolist()), tuple(slopes), half_waves)

    def planes(
        self, field: Field, sign: int, fractions: Float[np.ndarray, " m"]
    ) -> Iterator[tuple[float, Float[Array, "..."]]]:
        """Fraction of the way to the face, and mean density out to it on all rays."""
        widths = np.diff(fractions, prepend=0.0)
        t, w = legendre_nodes(int(np.ceil(1.4 + 2.9 * self.half_waves * widths.max())))
        total = jnp.zeros([len(s) for s in self.slopes], jnp.float32)
        slopes = [jnp.asarray(s, jnp.float32) for s in self.slopes]
        for end, width in zip(fractions, widths, strict=True):
            places = jnp.asarray(end - width * (1 - t), jnp.float32)
            weights = jnp.asarray(width * w, jnp.float32)
            total = total + _slab(field, self.axis, self.half_widths, sign, slopes, places, weights)
            yield float(end), total / np.float32(end)

    def read(
        self,
        plane: tuple[float, Float[Array, "..."]],
        mean: Float[np.ndarray, "..."],
        centres: Sequence[Float[np.ndarray, " _"]],
        layer: int,
    ) -> None:
        """Put the mean densities to the cells of one layer, inside the pyramid, into `mean`."""
        fraction, values = plane
        found = ndimage.spline_filter(
            np.squeeze(np.asarray(values, dtype=np.float64), self.axis), order=5, mode="mirror"
        )
        where: list[slice | int] = [layer] * len(centres)
        for j, axis in enumerate(b for b in range(len(centres)) if b != self.axis):
            inside = np.flatnonzero(np.abs(centres[axis]) <= fraction * (1 + 1e-12))
            where[axis] = slice(inside[0], inside[-1] + 1) if len(inside) else slice(0, 0)
            slopes = self.slopes[axis]
            place = (centres[axis][inside] / fraction - slopes[0]) / (slopes[1] - slopes[0])
            matrix = _spline_weights(place, len(slopes))
            found = matrix @ found if j == 0 else (matrix @ found.T).T
        mean[tuple(where)] = found


@eqx.filter_jit
def _slab(field, axis, half_widths, sign, slopes, places, weights):
    """Integral of rho along the rays through a slab, in fractions of the way to the face."""

    def add(total, node):
        place, weight = node
        axes = [
            (place * h * (sign if j == axis else slopes[j])).reshape(-1)
            for j, h in enumerate(half_widths)
        ]
        return total + weight * jnp.exp(field.on_grid(axes)), None

    zeros = jnp.zeros([s.size for s in slopes], places.dtype)
    return jax.lax.scan(add, zeros, (places, weights))[0]


def _spline_weights(place: Float[np.ndarray, " n"], points: int) -> sp.csr_array:
    """Quintic B-splines about each of `points` grid points, at places counted in grid steps."""
    low = np.floor(place).astype(np.int64) - 2
    rows = np.repeat(np.arange(len(place)), 6)
    columns = (low[:, None] + np.arange(6)).ravel()
    far = np.abs(place[rows] - columns)
    # truncated powers, centred: sum over j of (-1)^j (6 over j) max(3 - x - j, 0)^5 / 5!
    values = sum(
        (-1) ** j * comb(6, j) * np.maximum(3 - far - j, 0.0) ** 5 / factorial(5) for j in range(3)
    )
    return sp.csr_array((values, (rows, columns)), shape=(len(place), points))
