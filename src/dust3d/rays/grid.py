"""The voxel grid on which production rays see the density."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dust3d.fields.base import Field
from dust3d.fields.fourier import AmplitudePhaseField, FourierField
from dust3d.fields.sum import SumField
from dust3d.transforms.grid import cell_centres, grid_transform


@dataclass(frozen=True)
class Grid:
    """Equal voxels that fill the periodic box.

    Parameters
    ----------
    cells
        Number of voxels along each axis.
    half_widths
        Half-width of the box along each axis [kpc].
    """

    cells: tuple[int, ...]
    half_widths: tuple[float, ...]

    @property
    def voxel(self) -> np.ndarray:
        """Size of a voxel along each axis [kpc]."""
        return 2 * np.asarray(self.half_widths) / np.asarray(self.cells)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.cells))

    @property
    def axes(self) -> tuple[np.ndarray, ...]:
        """Cell centres along each axis [kpc]."""
        return tuple(cell_centres(h, n) for h, n in zip(self.half_widths, self.cells, strict=True))


def fast_size(at_least: float | int) -> int:
    """The smallest even number 2^a 3^b 5^c that is not below `at_least`."""
    n = max(4, int(np.ceil(at_least)))
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1 and n % 2 == 0:
            return n
        n += 1


def ln_density_on(field: Field, grid: Grid, dtype: jnp.dtype) -> Float[Array, "..."]:
    """ln rho at all voxel centres: by FFT for the Fourier parts of a field, else one by one."""
    if isinstance(field, SumField):
        return sum(
            (ln_density_on(part, grid, dtype) for part in field.parts[1:]),
            ln_density_on(field.parts[0], grid, dtype),
        )
    if isinstance(field, AmplitudePhaseField):
        field = field.to_cos_sin()
    if isinstance(field, FourierField) and field.half_widths == grid.half_widths:
        return grid_transform(field.modes, grid.cells)(
            field.cos.astype(dtype), field.sin.astype(dtype)
        )
    return field.on_grid(tuple(jnp.asarray(a, dtype) for a in grid.axes)).astype(dtype)
