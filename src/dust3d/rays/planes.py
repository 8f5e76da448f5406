"""Weights of rays that are sampled on the planes of voxel centres across their steepest axis."""

import numpy as np
import scipy.sparse as sp

from dust3d.rays.grid import Grid

_REACH = 2


def _integral(y: np.ndarray) -> np.ndarray:
    """int_-inf^y of the cubic convolution kernel (Keys 1981), which reaches from -2 to 2."""
    x = np.abs(np.clip(y, -_REACH, _REACH))
    inner = x - 5 / 6 * x**3 + 3 / 8 * x**4
    outer = -1 / 6 + 2 * x - 2 * x**2 + 5 / 6 * x**3 - x**4 / 8
    half = np.where(x <= 1, inner, outer)
    return 0.5 + np.sign(y) * half


def plane_weights(positions: np.ndarray, axis: int, grid: Grid) -> tuple[sp.csr_array, np.ndarray]:
    """Rays that are steepest along one axis.

    Between the Sun and the star all planes count alike; at both ends the density along
    the ray is interpolated between planes by cubic convolution, and integrated exactly.

    Parameters
    ----------
    positions
        Stars [kpc], shape (n, ndim).
    axis
        The axis that the planes stand across.
    grid
        The voxels.

    Returns
    -------
    R, float32, and the length of each ray between two planes [kpc].
    """
    cells = np.asarray(grid.cells)
    n_stars, sun = len(positions), cells / 2 - 0.5
    step = positions / grid.voxel
    along = step[:, axis]
    low, high = sun[axis] + np.minimum(along, 0), sun[axis] + np.maximum(along, 0)
    first = np.floor(low).astype(np.int64) - _REACH + 1
    count = np.ceil(high).astype(np.int64) + _REACH - first
    star = np.repeat(np.arange(n_stars), count)
    plane = np.arange(len(star)) - np.repeat(np.cumsum(count) - count - first, count)
    # a star at the Sun has no direction, and no extinction
    safe = np.where(along == 0, 1.0, along)
    path = np.where(along == 0, 0.0, np.linalg.norm(positions, axis=1) / np.abs(safe))
    slope = step / safe[:, None]
    inside = _integral(high[star] - plane) - _integral(low[star] - plane)
    weights = [(inside * path[star]).astype(np.float32)]
    strides = np.cumprod([1, *grid.cells[:0:-1]])[::-1]
    columns = [(plane % cells[axis]) * strides[axis]]
    for a in range(len(cells)):
        if a == axis:
            continue
        place = sun[a] + slope[star, a] * (plane - sun[axis])
        cell = np.floor(place)
        share = (place - cell).astype(np.float32)
        cell = cell.astype(np.int64)
        neighbours = [((cell + bit) % cells[a]) * strides[a] for bit in (0, 1)]
        weights = [w for weight in weights for w in (weight * (1 - share), weight * share)]
        columns = [column + next_ for column in columns for next_ in neighbours]
    data = np.stack(weights, axis=1).ravel()
    indices = np.stack(columns, axis=1).astype(np.int32).ravel()
    ends = np.concatenate([[0], np.cumsum(count * len(weights))]).astype(np.int32)
    return sp.csr_array((data, indices, ends), shape=(n_stars, grid.size)), path
