"""Products with sparse ray matrices inside JAX, with exact derivatives.

On a CPU the product is scipy's, reached by a callback, on blocks of rows that
share the cores; elsewhere it is a gather and a segment sum.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float, Int

from dust3d.runtime import cores

_MIN_BLOCK_ENTRIES = 200_000


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=cores())


def _split(matrix: sp.csr_array) -> list[sp.csr_array]:
    """Blocks of rows of about equal work, as many as there are cores."""
    n = cores()
    if n == 1 or matrix.nnz < n * _MIN_BLOCK_ENTRIES:
        return [matrix]
    targets = matrix.nnz * np.arange(1, n) / n
    cuts = [0, *np.searchsorted(matrix.indptr, targets), matrix.shape[0]]
    return [matrix[a:b] for a, b in zip(cuts, cuts[1:], strict=False) if b > a]


class RayMatrix:
    """One sparse matrix per batch of stars, all with as many rows.

    Parameters
    ----------
    matrices
        CSR matrices of one shape (stars of a batch, voxels).
    """

    def __init__(self, matrices: list[sp.csr_array]):
        self.rows, self.columns = matrices[0].shape[0], matrices[0].shape[1]
        self.entries = sum(m.nnz for m in matrices)
        self._on_host = jax.default_backend() == "cpu"
        if self._on_host:
            self._blocks = [_split(m) for m in matrices]
        else:
            longest = max(m.nnz for m in matrices)
            self._coordinates = [_padded(m, longest) for m in matrices]
            stacked = list(zip(*self._coordinates, strict=True))
            self._data, self._column, self._row = (jnp.asarray(np.stack(s)) for s in stacked)

    def __call__(
        self, batch: Int[Array, ""], density: Float[Array, "voxels c"]
    ) -> Float[Array, "rows c"]:
        """R of one batch times c columns of densities."""
        if self._on_host:
            return _host_product(self, batch, density)
        data, column, row = self._data[batch], self._column[batch], self._row[batch]
        return jax.ops.segment_sum(
            data[:, None] * density[column], row, self.rows, indices_are_sorted=True
        )

    def forward(self, batch, density):
        """R rho on the host."""
        blocks, density = self._blocks[int(batch)], np.asarray(density)
        return np.concatenate(list(_pool().map(lambda block: block @ density, blocks)))

    def transposed(self, batch, cotangent):
        """R^T g on the host."""
        blocks, cotangent = self._blocks[int(batch)], np.asarray(cotangent)
        ends = np.cumsum([0] + [b.shape[0] for b in blocks])
        pieces = [cotangent[a:b] for a, b in zip(ends, ends[1:], strict=False)]
        parts = list(_pool().map(lambda block, piece: block.T @ piece, blocks, pieces))
        return sum(parts[1:], parts[0])


def _padded(matrix: sp.csr_array, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    row = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))
    pad = length - matrix.nnz
    return (
        np.pad(matrix.data, (0, pad)),
        np.pad(matrix.indices.astype(np.int32), (0, pad)),
        np.pad(row, (0, pad), constant_values=matrix.shape[0] - 1),
    )


def _host_product(matrix: RayMatrix, batch, density):
    """The callback with its transpose as derivative: linear in the density."""

    @jax.custom_vjp
    def product(batch, density):
        shape = jax.ShapeDtypeStruct((matrix.rows, density.shape[1]), density.dtype)
        return jax.pure_callback(matrix.forward, shape, batch, density)

    def forward(batch, density):
        return product(batch, density), batch

    def backward(batch, cotangent):
        shape = jax.ShapeDtypeStruct((matrix.columns, cotangent.shape[1]), cotangent.dtype)
        return None, jax.pure_callback(matrix.transposed, shape, batch, cotangent)

    product.defvjp(forward, backward)
    return product(batch, density)
