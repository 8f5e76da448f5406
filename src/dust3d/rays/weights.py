"""Sparse rays: extinction as a matrix, star x voxel, of quadrature times interpolation weights.

A(x*) = |x*| int_0^1 rho(t x*) dt with rho interpolated linearly between the
voxel centres of a periodic grid: A = R rho. R depends on the stars and the grid
alone, and is made once.
"""

from itertools import product

import numpy as np
import scipy.sparse as sp

from dust3d.rays.grid import Grid

_POINTS_PER_CHUNK = 1 << 21


def _chunk_rows(positions: np.ndarray, steps: np.ndarray, grid: Grid) -> sp.csr_array:
    """R for a chunk of stars, by the midpoint rule with `steps` points on each ray."""
    star = np.repeat(np.arange(len(steps)), steps)
    first = np.concatenate([[0], np.cumsum(steps)[:-1]])
    t = (np.arange(steps.sum()) - first[star] + 0.5) / steps[star]
    cell = (positions[star] * t[:, None] + np.asarray(grid.half_widths)) / grid.voxel - 0.5
    low = np.floor(cell).astype(np.int64)
    high_share = cell - low
    weight = (np.linalg.norm(positions, axis=1) / steps)[star]
    strides = np.cumprod([1, *grid.cells[:0:-1]])[::-1]
    columns, values = [], []
    for corner in product((0, 1), repeat=len(grid.cells)):
        share, column = weight, np.zeros(len(star), dtype=np.int64)
        for axis, bit in enumerate(corner):
            share = share * (high_share[:, axis] if bit else 1 - high_share[:, axis])
            column += ((low[:, axis] + bit) % grid.cells[axis]) * strides[axis]
        columns.append(column.astype(np.int32))
        values.append(share.astype(np.float32))
    # points of a ray stand together, so rows are contiguous once corners are interleaved
    corners = len(columns)
    data = np.stack(values, axis=1).ravel()
    indices = np.stack(columns, axis=1).ravel()
    ends = np.concatenate([[0], np.cumsum(steps) * corners])
    matrix = sp.csr_array((data, indices, ends), shape=(len(steps), grid.size))
    matrix.sum_duplicates()
    return matrix


def ray_weights(positions: np.ndarray, grid: Grid, step_voxels: float) -> sp.csr_array:
    """The matrix R, float32, with A = R rho for rho at the voxel centres.

    Parameters
    ----------
    positions
        Stars [kpc], shape (n, ndim).
    grid
        The voxels.
    step_voxels
        Largest step of the quadrature, in voxels.

    Raises
    ------
    ValueError
        If a star lies outside the grid.
    """
    positions = np.asarray(positions, dtype=np.float64)
    # a place that is not a number is not inside
    outside = ~np.all(np.abs(positions) <= np.asarray(grid.half_widths), axis=1)
    if outside.any():
        raise ValueError(
            f"{outside.sum()} stars lie outside the box, the first in row {outside.argmax()}"
        )
    length = np.linalg.norm(positions / grid.voxel, axis=1)
    steps = np.maximum(2, np.ceil(length / step_voxels)).astype(np.int64)
    parts, start = [], 0
    total = np.cumsum(steps)
    while start < len(steps):
        done = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + _POINTS_PER_CHUNK)))
        parts.append(_chunk_rows(positions[start:stop], steps[start:stop], grid))
        start = stop
    return sp.csr_array(sp.vstack(parts)) if len(parts) > 1 else parts[0]
