"""Ray matrices as arrays on an accelerator: gathers and sums, without atomic additions.

A sum over the entries of a row is made in stages: entries stand in groups of a few,
each of one row; the sums of the groups are grouped again, until one is left. R^T is
the same thing with the entries sorted by voxel: the voxels at the Sun, which every ray
crosses, cost a stage or two more and no contention, and sums come in a fixed order.
"""

from collections.abc import Iterable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float, Int

from dust3d.rays.linear import linear_map
from dust3d.rays.product import RayMatrix, ResidentRays

_GROUP = 8


class _StagedSum(eqx.Module):
    """y_i = sum_j M_ij x_j for a stack of sparse matrices of one shape.

    `columns` and `weights` have a row per group of entries; `members` lists, for each
    stage, the groups that each group of the next takes; `last` is the group that each
    row of the matrix ends as. An index past the end reads zero.
    """

    columns: Int[Array, "batches groups width"]
    weights: Float[Array, "batches groups width"]
    members: tuple[Int[Array, "batches _ width"], ...]
    last: Int[Array, "batches rows"]

    def __call__(self, batch: Int[Array, ""], x: Float[Array, "n c"]) -> Float[Array, "m c"]:
        """The matrix of one batch times columns."""
        weights = self.weights[batch].astype(x.dtype)
        sums = jnp.sum(weights[..., None] * x[self.columns[batch]], axis=1)
        for members in self.members:
            sums = jnp.sum(_take(sums, members[batch]), axis=1)
        return _take(sums, self.last[batch])


def _take(values: Array, index: Array) -> Array:
    return values.at[index].get(mode="fill", fill_value=0)


def _grouped(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Members of each group and the number of groups, for segments of so many entries.

    Members are numbers of entries, in order, -1 where a group is not full.
    """
    groups = -(-counts // _GROUP)
    segment = np.repeat(np.arange(len(counts)), groups)
    within = np.arange(groups.sum()) - (np.cumsum(groups) - groups)[segment]
    offset = within[:, None] * _GROUP + np.arange(_GROUP)
    first = (np.cumsum(counts) - counts)[segment, None]
    return np.where(offset < counts[segment, None], first + offset, -1), groups


def _stacked(parts: Sequence[np.ndarray], length: int, fill: int) -> Array:
    """Arrays of different length, one after the other, filled up."""
    first = parts[0]
    out = np.full((len(parts), length, *first.shape[1:]), fill, first.dtype)
    for i, part in enumerate(parts):
        out[i, : len(part)] = part
    return jnp.asarray(out)


def _staged(matrices: Sequence[sp.csr_array]) -> _StagedSum:
    """Arrays for the products with these matrices."""
    counts = [np.diff(m.indptr).astype(np.int64) for m in matrices]
    grouped = [_grouped(c) for c in counts]
    longest = max(1, *(len(members) for members, _ in grouped))
    columns, weights = [], []
    for matrix, (members, _) in zip(matrices, grouped, strict=True):
        there = members >= 0
        place = np.where(there, members, 0)
        full = matrix.nnz > 0
        columns.append(np.where(there, matrix.indices[place] if full else 0, 0).astype(np.int32))
        values = matrix.data[place] if full else np.zeros(place.shape, matrix.dtype)
        weights.append(np.where(there, values, 0).astype(matrix.dtype))
    stages = []
    while max(groups.max(initial=0) for _, groups in grouped) > 1:
        before = longest
        grouped = [_grouped(groups) for _, groups in grouped]
        longest = max(1, *(len(members) for members, _ in grouped))
        members = [np.where(m < 0, before, m).astype(np.int32) for m, _ in grouped]
        stages.append(_stacked(members, longest, before))
    last = [
        np.where(groups > 0, np.cumsum(groups) - groups, longest).astype(np.int32)
        for _, groups in grouped
    ]
    first = max(len(c) for c in columns)
    return _StagedSum(
        _stacked(columns, max(1, first), 0),
        _stacked(weights, max(1, first), 0),
        tuple(stages),
        jnp.asarray(np.stack(last)),
    )


class DeviceRays(eqx.Module):
    """R and R^T of all batches as arrays of the device; a pytree, to be passed to `jit`.

    Parameters
    ----------
    matrices
        A CSR matrix for each batch, all of one shape (stars of a batch, voxels).
    """

    forward: _StagedSum
    transposed: _StagedSum

    def __init__(self, matrices: Sequence[sp.csr_array]):
        self.forward = _staged(matrices)
        self.transposed = _staged([sp.csr_array(m.T.tocsr()) for m in matrices])

    def __call__(
        self, batch: Int[Array, ""], density: Float[Array, "voxels c"]
    ) -> Float[Array, "rows c"]:
        """R of one batch times c columns of densities."""
        return linear_map(_times, _times_transposed, (self, batch), density)


def _times(context, density):
    rays, batch = context
    return rays.forward(batch, density)


def _times_transposed(context, cotangent):
    rays, batch = context
    return rays.transposed(batch, cotangent)


def on_host() -> bool:
    """Whether JAX computes on the CPU, where scipy's products are faster."""
    return jax.default_backend() == "cpu"


def resident_rays(blocks: Iterable[list[sp.csr_array]]) -> RayMatrix | DeviceRays:
    """R of all batches, kept where JAX computes.

    Parameters
    ----------
    blocks
        The blocks of rows of each batch.
    """
    if on_host():
        return RayMatrix(ResidentRays(blocks))
    return DeviceRays([sp.csr_array(sp.vstack(some)) for some in blocks])
