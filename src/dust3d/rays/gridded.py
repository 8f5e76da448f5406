"""A field seen through a fine grid: near-exact densities and extinctions at a steady cost.

ln rho is put on a grid once, and read off between its points by periodic cubic
splines; the cost per point no longer depends on the order of the field. For work on
very many points, where `nodes` with the field itself would take too long.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from dust3d.fields.base import Field
from dust3d.fields.scales import is_periodic, voxel_for
from dust3d.rays.grid import Grid, fast_size, ln_density_on
from dust3d.rays.quadrature import legendre_nodes
from dust3d.runtime import cores

_POINTS_PER_CHUNK = 1 << 20
_FEWEST_CELLS = 16
_MARGIN = 8
_MOST_VOXELS = 48_000_000
# four voxels per half-wavelength make this four nodes per wavelength
_NODES_PER_VOXEL = 0.5


def grid_for_field(field: Field, half_widths: Sequence[float]) -> Grid:
    """Voxels as fine as the structure of a field asks for, within the memory of one machine."""
    box = np.asarray(half_widths, dtype=np.float64)
    voxel = np.minimum(voxel_for(field, len(box)), 2 * box / _FEWEST_CELLS)
    cells = 2 * box / voxel
    shrink = min(1.0, (_MOST_VOXELS / np.prod(cells)) ** (1 / len(cells)))
    return Grid(tuple(fast_size(shrink * n - 1e-6) for n in cells), tuple(box.tolist()))


class GriddedField:
    """ln rho on a grid of the periodic box.

    Parameters
    ----------
    field
        The field.
    grid
        Voxels, from `grid_for_field`.
    """

    def __init__(self, field: Field, grid: Grid):
        self.grid = grid
        periodic = is_periodic(field, grid.half_widths)
        # splines of what is not periodic need support beyond the faces
        self._margin, self._mode = (0, "grid-wrap") if periodic else (_MARGIN, "mirror")
        if periodic:
            values = ln_density_on(field, grid, jnp.dtype("float64"))
        else:
            values = field.on_grid(tuple(jnp.asarray(axis) for axis in self._extended_axes()))
        self._coefficients = ndimage.spline_filter(np.asarray(values), order=3, mode=self._mode)

    def _extended_axes(self) -> list[np.ndarray]:
        """Cell centres along each axis [kpc], some of them beyond the faces."""
        return [
            axis[0] + voxel * np.arange(-self._margin, len(axis) + self._margin)
            for axis, voxel in zip(self.grid.axes, self.grid.voxel, strict=True)
        ]

    def ln_density(self, points: np.ndarray) -> np.ndarray:
        """ln rho at points [kpc] of shape (..., ndim)."""
        cell = (points + np.asarray(self.grid.half_widths)) / self.grid.voxel - 0.5 + self._margin
        return ndimage.map_coordinates(
            self._coefficients,
            np.moveaxis(cell, -1, 0),
            order=3,
            mode=self._mode,
            prefilter=False,
        )

    def nodes(self, reach_kpc: float) -> int:
        """Gauss-Legendre nodes that resolve the voxels on a ray of this length."""
        return int(np.ceil(12 + _NODES_PER_VOXEL * reach_kpc / self.grid.voxel.min()))

    def moments(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int rho ds [mag] and int rho^2 ds [mag^2 / kpc] from the Sun to positions [kpc]."""
        positions = np.asarray(positions, dtype=np.float64)
        distance = np.linalg.norm(positions, axis=1)
        t, w = legendre_nodes(self.nodes(float(distance.max(initial=0.0))))
        rows = max(1, _POINTS_PER_CHUNK // len(t))
        chunks = [positions[i : i + rows] for i in range(0, len(positions), rows)]

        def integrate(chunk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            density = np.exp(self.ln_density(t[:, None] * chunk[:, None, :]))
            return density @ w, density**2 @ w

        with ThreadPoolExecutor(cores()) as pool:
            parts = list(pool.map(integrate, chunks))
        first = np.concatenate([p[0] for p in parts]) if parts else np.zeros(0)
        second = np.concatenate([p[1] for p in parts]) if parts else np.zeros(0)
        return distance * first, distance * second

    def extinctions(self, positions: np.ndarray) -> np.ndarray:
        """Extinctions [mag] from the Sun to positions [kpc], shape (n, ndim)."""
        return self.moments(positions)[0]
