"""Weights of rays through tensor B-splines, integrated exactly from crossing to crossing.

Between two crossings of the planes where the splines' pieces join, the density along
a ray is a polynomial, which Gauss-Legendre quadrature integrates exactly.
"""

from functools import lru_cache

import numpy as np
import scipy.sparse as sp

from dust3d.rays.grid import Grid

_SEGMENTS_PER_STEP = 20_000


@lru_cache(maxsize=8)
def _gauss(degree: int, ndim: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in (-1, 1) and weights that sum to 1, exact for the product of the axes' splines."""
    x, w = np.polynomial.legendre.leggauss((degree * ndim) // 2 + 1)
    return x.astype(np.float32), (w / 2).astype(np.float32)


def _pieces(degree: int, f: np.ndarray) -> list[np.ndarray]:
    """B-splines that are not zero a part f beyond a joint, from low to high."""
    g = 1 - f
    if degree == 1:
        return [g, f]
    if degree == 2:
        return [0.5 * g**2, 0.5 + f * g, 0.5 * f**2]
    cube_f, cube_g = f**3 / 6, g**3 / 6
    return [cube_g, 2 / 3 + 3 * cube_f - f**2, 2 / 3 + 3 * cube_g - g**2, cube_f]


def _crossings(sun: np.ndarray, step: np.ndarray) -> np.ndarray:
    """i + t for the parts t of the i-th ray where it crosses a joint, and 0, 1, ..., n; sorted."""
    keys = [np.arange(len(step) + 1, dtype=np.float64)]
    for axis in range(step.shape[1]):
        along = step[:, axis]
        first = np.floor(sun[axis] + np.minimum(along, 0)).astype(np.int64) + 1
        count = np.ceil(sun[axis] + np.maximum(along, 0)).astype(np.int64) - first
        count = np.maximum(count, 0)
        star = np.repeat(np.arange(len(step)), count)
        joint = np.arange(len(star)) - np.repeat(np.cumsum(count) - count - first, count)
        keys.append(star + (joint - sun[axis]) / along[star])
    out = np.concatenate(keys)
    out.sort()
    return out


def _segments(
    positions: np.ndarray, grid: Grid, degree: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Segments of each ray, and weights and voxels of each segment, shape (segments, corners)."""
    cells, sun = np.asarray(grid.cells), np.asarray(grid.cells) / 2
    # joints of even degree lie between voxel centres
    sun = sun if degree % 2 == 0 else sun - 0.5
    step = positions / grid.voxel
    keys = _crossings(sun, step)
    length = np.diff(keys)
    middle = keys[:-1] + 0.5 * length
    star = np.minimum(middle.astype(np.int64), len(positions) - 1)
    place = sun + (middle - star)[:, None] * step[star]
    joint = np.floor(place)
    share = (place - joint).astype(np.float32)
    half = (0.5 * length[:, None] * step[star]).astype(np.float32)
    path = (length * np.linalg.norm(positions, axis=1)[star]).astype(np.float32)
    strides = np.cumprod([1, *grid.cells[:0:-1]])[::-1]
    low = joint.astype(np.int64) - degree // 2
    columns = [np.zeros(len(star), dtype=np.int64)]
    for axis in range(len(cells)):
        wrapped = [((low[:, axis] + i) % cells[axis]) * strides[axis] for i in range(degree + 1)]
        columns = [column + next_ for column in columns for next_ in wrapped]
    total = np.zeros((len(columns), len(star)), dtype=np.float32)
    for x, w in zip(*_gauss(degree, len(cells)), strict=True):
        weights = [w * path]
        for axis in range(len(cells)):
            pieces = _pieces(degree, share[:, axis] + x * half[:, axis])
            weights = [weight * piece for weight in weights for piece in pieces]
        for sum_, weight in zip(total, weights, strict=True):
            sum_ += weight
    count = np.bincount(star, minlength=len(positions))
    return count, total.T, np.stack(columns, axis=1).astype(np.int32)


def cell_weights(positions: np.ndarray, grid: Grid, degree: int) -> sp.csr_array:
    """R, float32, for tensor B-splines of degree 1, 2 or 3 about the voxel centres.

    Parameters
    ----------
    positions
        Stars [kpc], shape (n, ndim).
    grid
        The voxels.
    degree
        Of the splines.
    """
    mean = 1 + np.abs(positions / grid.voxel).sum(axis=1).mean()
    rows = max(1, int(_SEGMENTS_PER_STEP / mean))
    parts = [
        _segments(positions[i : i + rows], grid, degree) for i in range(0, len(positions), rows)
    ]
    count, data, columns = (np.concatenate(part) for part in zip(*parts, strict=True))
    segments, corners = data.shape
    inner = np.arange(segments + 1, dtype=np.int32) * np.int32(corners)
    of_segments = sp.csr_array(
        (data.ravel(), columns.ravel(), inner), shape=(segments, grid.size), copy=False
    )
    outer = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)
    members = (np.ones(segments, np.float32), np.arange(segments, dtype=np.int32), outer)
    # a sparse product adds up what neighbouring segments share, without sorting
    return sp.csr_array(members, shape=(len(positions), segments)) @ of_segments
