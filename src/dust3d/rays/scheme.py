"""How production rays see the density: grids, an interpolation kernel, and its undoing.

A band-limited function that is read through a kernel comes out damped by the kernel's
Fourier transform, and with faint images of itself beyond the grid's frequencies. The
damping is undone on the grid, before the rays are taken; the images remain, and fall
with the kernel's degree and the grid's fineness.

The kernel `planes` (Joseph 1982, IEEE Trans. Med. Imaging 1, 192) samples a ray where
it meets the planes of voxel centres across its steepest axis, and interpolates linearly
within a plane: equal steps integrate a periodic function without damping along the ray.
A coarse grid along that axis and a fine one across it, one pair for each axis, give the
fewest weights for an accuracy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dust3d.fields.base import Field
from dust3d.rays.grid import Grid, fast_size, ln_density_on

Values = Float[Array | np.ndarray, "..."]

DEGREES = {"planes": 1, "trilinear": 1, "deconvolved": 1, "quadratic": 2, "cubic": 3}
"""Degree of each kernel's splines."""

_ALONG = (0.5, 1.1)
# weights below this part of a step are left out, at the oversampling stated beside it
_SMALLEST = {
    "planes": (0.02, 2.4),
    "trilinear": (0.02, 1.8),
    "deconvolved": (0.02, 1.8),
    "quadratic": (0.0005, 1.6),
    "cubic": (0.0005, 1.5),
}


@dataclass(frozen=True)
class Scheme:
    """Grids and kernel of production rays.

    Parameters
    ----------
    kernel
        One of `DEGREES`.
    grids
        One grid; of `planes` one for each axis, along which its steepest rays run.
    smallest
        Weights below this part of a voxel are left out (the others grow to make up for them).
    """

    kernel: str
    grids: tuple[Grid, ...]
    smallest: float

    @property
    def size(self) -> int:
        """Number of voxels of all grids: columns of R."""
        return sum(grid.size for grid in self.grids)

    @property
    def half_widths(self) -> tuple[float, ...]:
        """Half-widths of the box [kpc]."""
        return self.grids[0].half_widths

    def densities(self, field: Field, dtype: Any, second: bool) -> Float[Array, "voxels c"]:
        """What R multiplies: rho [mag / kpc], and rho^2 if `second`, kernel undone."""
        parts = []
        for axis, grid in enumerate(self.grids):
            # XLA would compute each exp anew for every neighbour that undoing the kernel reads
            density = jax.lax.optimization_barrier(jnp.exp(ln_density_on(field, grid, dtype)))
            powers = (density, density**2) if second else (density,)
            columns = [self.undone(power, axis).reshape(-1) for power in powers]
            parts.append(jnp.stack(columns, axis=1))
        return jnp.concatenate(parts) if len(parts) > 1 else parts[0]

    def undone(self, density: Values, grid: int) -> Values:
        """Values on one of the grids [any unit], sharpened by what the kernel will damp."""
        if self.kernel == "trilinear":
            return density
        if self.kernel in ("quadratic", "cubic"):
            return undo_spline(density, DEGREES[self.kernel])
        axes = range(density.ndim)
        return undo_hat(density, [a for a in axes if self.kernel != "planes" or a != grid])


def undo_hat(values: Values, axes: Sequence[int]) -> Values:
    """Undo linear interpolation along some axes to fourth order, by one difference each.

    A hat damps a wave of phase k per voxel by sinc^2(k / 2) = 1 - k^2 / 12 + ...; the
    exact inverse, by FFT, makes extinctions no better and costs three times as much.
    """
    xp = values.__array_namespace__()
    for axis in axes:
        both = xp.roll(values, 1, axis) + xp.roll(values, -1, axis)
        values = values * (7 / 6) - both / 12
    return values


def undo_spline(values: Values, degree: int) -> Values:
    """Divide by the Fourier transform of a B-spline, sinc^(degree + 1), on all axes."""
    xp, shape = values.__array_namespace__(), values.shape
    spectrum = xp.fft.rfftn(values)
    for axis, n in enumerate(shape):
        last = axis == len(shape) - 1
        frequency = np.fft.rfftfreq(n) if last else np.fft.fftfreq(n)
        factor = np.sinc(frequency) ** -(degree + 1.0)
        to_axis = factor.reshape([-1 if a == axis else 1 for a in range(len(shape))])
        spectrum = spectrum * xp.asarray(to_axis, dtype=values.dtype)
    return xp.fft.irfftn(spectrum, s=shape, axes=tuple(range(len(shape))))


def scheme_for(
    kernel: str, order: Sequence[int], half_widths: Sequence[float], oversampling: float
) -> Scheme:
    """A scheme with so many voxels per half-wavelength of the highest mode.

    Parameters
    ----------
    kernel
        One of `DEGREES`.
    order, half_widths
        Of the field.
    oversampling
        Voxels per half-wavelength; for `planes` across the ray, with half as many along it.
    """
    reference_smallest, reference = _SMALLEST[kernel]
    smallest = reference_smallest * min(1.0, (reference / oversampling) ** 2)
    box = tuple(float(h) for h in half_widths)

    def grid(steepest: int | None) -> Grid:
        along = max(_ALONG[0] * oversampling, _ALONG[1])
        cells = [
            fast_size(max(2 * m * (along if a == steepest else oversampling), 2 * m + 2))
            for a, m in enumerate(order)
        ]
        return Grid(tuple(cells), box)

    axes = range(len(box)) if kernel == "planes" else (None,)
    return Scheme(kernel, tuple(grid(axis) for axis in axes), smallest)
