"""Products with sparse ray matrices inside JAX, with exact derivatives.

On a CPU the product is scipy's, reached by a callback, on blocks of rows that share
the cores: R is read once, at about the speed of memory. Nothing of R is part of a
compiled program, so a source may keep it, read it or make it batch by batch.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Protocol, runtime_checkable

import jax
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float, Int

from dust3d.rays.linear import linear_map
from dust3d.runtime import cores

_MIN_BLOCK_ENTRIES = 200_000


@runtime_checkable
class RaySource(Protocol):
    """Where the rows of R come from: memory, a disk, or made when they are asked for.

    `batches` matrices, all of shape (`rows`, `columns`) = (stars of a batch, voxels).
    """

    batches: int
    rows: int
    columns: int

    def blocks(self, batch: int) -> list[sp.csr_array]:
        """One batch in blocks of rows, one below the other."""
        ...


@cache
def ray_pool() -> ThreadPoolExecutor:
    """The threads that blocks of rows share."""
    return ThreadPoolExecutor(max_workers=cores(), thread_name_prefix="rays")


def row_blocks(matrix: sp.csr_array) -> list[sp.csr_array]:
    """A matrix in blocks of rows of about equal work, as many as there are cores."""
    n = cores()
    if n == 1 or matrix.nnz < n * _MIN_BLOCK_ENTRIES:
        return [matrix]
    targets = matrix.nnz * np.arange(1, n) / n
    cuts = [0, *np.searchsorted(matrix.indptr, targets).tolist(), matrix.shape[0]]
    return [matrix[a:b] for a, b in zip(cuts, cuts[1:], strict=False) if b > a]


class ResidentRays:
    """All of R in memory.

    Parameters
    ----------
    matrices
        A CSR matrix for each batch, all of one shape (stars of a batch, voxels), or its blocks
        of rows; taken one at a time, so that they can be made one at a time.
    """

    def __init__(self, matrices: Iterable[sp.csr_array | list[sp.csr_array]]):
        self._blocks = [m if isinstance(m, list) else row_blocks(m) for m in matrices]
        self.batches = len(self._blocks)
        self.rows = sum(block.shape[0] for block in self._blocks[0])
        self.columns = self._blocks[0][0].shape[1]

    def blocks(self, batch: int) -> list[sp.csr_array]:
        """One batch in blocks of rows."""
        return self._blocks[batch]


class RayMatrix:
    """R of each batch of stars, as a linear map from density to extinction.

    Parameters
    ----------
    source
        Where the rows come from. The matrix is known to `jit` by its identity, so that
        the rows may come later and change no program.
    """

    def __init__(self, source: RaySource):
        self._source: RaySource | None = source

    @property
    def source(self) -> RaySource:
        """Where the rows come from."""
        if self._source is None:
            raise RuntimeError("the rows of this matrix were released")
        return self._source

    def release(self) -> None:
        """Let go of the rows: compiled programs know the matrix for as long as they live."""
        self._source = None

    def __call__(
        self, batch: Int[Array, ""], density: Float[Array, "voxels c"]
    ) -> Float[Array, "rows c"]:
        """R of one batch times c columns of densities."""
        return linear_map(self._forward, self._transposed, batch, density)

    def _forward(self, batch, density):
        shape = jax.ShapeDtypeStruct((self.source.rows, density.shape[1]), density.dtype)
        return jax.pure_callback(self.forward, shape, batch, density)

    def _transposed(self, batch, cotangent):
        shape = jax.ShapeDtypeStruct((self.source.columns, cotangent.shape[1]), cotangent.dtype)
        return jax.pure_callback(self.transposed, shape, batch, cotangent)

    def forward(self, batch, density) -> np.ndarray:
        """R rho on the host."""
        density = _columns(density)
        found = ray_pool().map(lambda block: _apply(block, density), self._blocks(batch))
        return np.concatenate(list(found))

    def transposed(self, batch, cotangent) -> np.ndarray:
        """R^T g on the host."""
        blocks, cotangent = self._blocks(batch), _columns(cotangent)
        ends = np.cumsum([block.shape[0] for block in blocks])[:-1]
        pieces = zip(*(np.split(column, ends) for column in cotangent), strict=True)
        parts = list(ray_pool().map(lambda block, some: _apply(block.T, some), blocks, pieces))
        total = parts[0]
        for part in parts[1:]:
            total += part
        return total

    def _blocks(self, batch) -> list[sp.csr_array]:
        return self.source.blocks(int(batch))


def _columns(values) -> list[np.ndarray]:
    """Columns that stand together in memory: scipy is faster with one after the other."""
    return list(np.ascontiguousarray(np.asarray(values).T))


def _apply(matrix, columns) -> np.ndarray:
    found = [matrix @ column for column in columns]
    return found[0][:, None] if len(found) == 1 else np.stack(found, axis=1)
