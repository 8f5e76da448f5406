"""Sparse rays: extinction as a matrix, star x voxel, that multiplies the density.

A(x*) = |x*| int_0^1 rho(t x*) dt, with rho interpolated between voxel centres of a
periodic grid: A = R rho. R depends on the stars and the scheme alone.
"""

import numpy as np
import scipy.sparse as sp

from dust3d.rays.cells import cell_weights
from dust3d.rays.planes import plane_weights
from dust3d.rays.product import ray_pool
from dust3d.rays.scheme import DEGREES, Scheme
from dust3d.runtime import cores

_CROSSINGS_PER_CHUNK = 400_000


def ray_weights(positions: np.ndarray, scheme: Scheme) -> sp.csr_array:
    """The matrix R, float32, with A = R rho for rho = `scheme.densities`.

    Parameters
    ----------
    positions
        Stars [kpc], shape (n, ndim).
    scheme
        Grids and kernel.

    Raises
    ------
    ValueError
        If a star lies outside the grid.
    """
    return _stacked(ray_blocks(positions, scheme))


def ray_blocks(positions: np.ndarray, scheme: Scheme) -> list[sp.csr_array]:
    """R in blocks of rows of about equal work, as many as there are cores, each made by one.

    Parameters and errors as for `ray_weights`.
    """
    positions = np.asarray(positions, dtype=np.float64)
    # a place that is not a number is not inside
    outside = ~np.all(np.abs(positions) <= np.asarray(scheme.half_widths), axis=1)
    if outside.any():
        raise ValueError(
            f"{outside.sum()} stars lie outside the box, the first in row {outside.argmax()}"
        )
    voxel = np.min([grid.voxel for grid in scheme.grids], axis=0)
    work = np.cumsum(4 + np.abs(positions / voxel).sum(axis=1))
    n = min(cores(), 1 + int(work[-1]) // _CROSSINGS_PER_CHUNK)
    cuts = [0, *np.searchsorted(work, work[-1] * np.arange(1, n) / n).tolist(), len(positions)]
    parts = [(a, b) for a, b in zip(cuts, cuts[1:], strict=False) if b > a]

    def make(part: tuple[int, int]) -> sp.csr_array:
        first, last = part
        chunks, start = [], first
        while start < last:
            before = work[start - 1] if start else 0.0
            stop = int(np.searchsorted(work, before + _CROSSINGS_PER_CHUNK))
            stop = min(max(stop, start + 1), last)
            chunks.append(_chunk(positions[start:stop], scheme))
            start = stop
        return _stacked(chunks)

    if len(parts) == 1:
        return [make(parts[0])]
    return list(ray_pool().map(make, parts))


def _stacked(parts: list[sp.csr_array]) -> sp.csr_array:
    return sp.csr_array(sp.vstack(parts, format="csr")) if len(parts) > 1 else parts[0]


def _chunk(positions: np.ndarray, scheme: Scheme) -> sp.csr_array:
    """R of a few stars."""
    if scheme.kernel != "planes":
        grid = scheme.grids[0]
        made = cell_weights(positions, grid, DEGREES[scheme.kernel])
        return _without_small(made, np.full(len(positions), grid.voxel.min()), scheme.smallest)
    along = [grid.voxel[axis] for axis, grid in enumerate(scheme.grids)]
    steepest = np.argmax(np.abs(positions) / along, axis=1)
    order = np.argsort(steepest, kind="stable")
    parts, offset = [], 0
    for axis, grid in enumerate(scheme.grids):
        made, path = plane_weights(positions[steepest == axis], axis, grid)
        some = _without_small(made, path, scheme.smallest)
        columns = (some.indices + offset).astype(np.int32)
        shape = (some.shape[0], scheme.size)
        parts.append(sp.csr_array((some.data, columns, some.indptr), shape=shape, copy=False))
        offset += grid.size
    return _stacked(parts)[np.argsort(order)]


def _without_small(matrix: sp.csr_array, path: np.ndarray, smallest: float) -> sp.csr_array:
    """Leave out weights below a part of `path`, or of the ray; the row keeps its sum."""
    count = np.diff(matrix.indptr)
    row = np.repeat(np.arange(len(count)), count)
    total = np.bincount(row, matrix.data, len(count))
    least = (smallest * np.minimum(path, total)).astype(np.float32)
    kept = np.abs(matrix.data) >= least[row]
    kept &= matrix.data != 0
    row, data = row[kept], matrix.data[kept]
    rest = np.bincount(row, data, len(count))
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(rest > 0, total / rest, 0).astype(np.float32)
    ends = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(count)))])
    parts = (data * scale[row], matrix.indices[kept], ends.astype(np.int32))
    return sp.csr_array(parts, shape=matrix.shape, copy=False)
