"""Batches that are read, and their rays made, shortly before their step.

A thread makes the next batch ready while the present one is computed; memory holds a
few batches, whatever the number of stars. The batches are those of a fit in memory.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax.sharding import Mesh

from dust3d import processes
from dust3d.inference.batches import Batch, GridSightlines, stars_of, walk_batches
from dust3d.inference.devices import even_rows, own_rows, rows_by_device, share_out, shares
from dust3d.inference.distance_cells import CellSightlines
from dust3d.inference.likelihood import Stars
from dust3d.inference.prefetch import Prefetched
from dust3d.inference.sources import StarSource
from dust3d.inference.target import Sightlines
from dust3d.io.ray_store import RayStore
from dust3d.observations import Observations

KEPT = 3
"""Batches in memory: one that is computed, one that is ready, one that is being made."""

MakeBlocks = Callable[[np.ndarray], list[sp.csr_array]]


class StreamedStars:
    """The share of this process of the stars of a source, in batches of one size.

    Parameters
    ----------
    source
        The stars.
    shape
        Number and size of the batches, of all processes together.
    mesh
        The devices that share each batch.
    """

    def __init__(self, source: StarSource, shape: tuple[int, int], mesh: Mesh | None):
        self.number, self.count, self.mesh = len(source), shape[0], mesh
        self.rays = source.sample.rays
        self._source, self._size = source, shape[1]
        columns = own_rows(np.arange(shape[1])[None])
        self._own = columns.shape[1]
        self._first = processes.index() * self._own
        self.size = even_rows(columns, mesh).shape[1]
        self._ready: Prefetched[Observations] = Prefetched(self._load, KEPT)

    def _places(self, batch: int) -> tuple[int, int]:
        """Where this process's stars of a batch begin and end in the order of all."""
        last = min((batch + 1) * self._size, self.number)
        first = min(batch * self._size + self._first, last)
        return first, min(first + self._own, last)

    def _load(self, batch: int) -> Observations:
        first, last = self._places(batch)
        # of a short batch some process may have nothing: another's star fills its rows up
        return self._source.take(first if first < last else last - 1, last)

    def prefetch(self, batch: int) -> None:
        """Begin to read a batch."""
        self._ready.prefetch(batch)

    def observations(self, batch: int) -> Observations:
        """The stars of a batch; the last one may be short."""
        return self._ready.get(batch)

    def rows(self, batch: int) -> np.ndarray:
        """Which of them stands in each row of the batch, shape (1, size); -1 for none."""
        rows = np.arange(self.size)[None]
        first, last = self._places(batch)
        return np.where(rows < last - first, rows, -1)


@runtime_checkable
class Lines(Protocol):
    """Sightlines that are made batch by batch."""

    @property
    def rays(self) -> Sightlines:
        """The sightlines."""
        ...

    def prefetch(self, batch: int) -> None:
        """Begin to make the sightlines to a batch."""
        ...

    def at(self, batch: int) -> tuple[Sightlines, int]:
        """Sightlines, and the number of the batch among them."""
        ...

    def release(self) -> None:
        """Let go of them."""
        ...


class StreamedRays:
    """Rows of R, made or read batch by batch: a source of `RayMatrix`.

    Parameters
    ----------
    stars
        The stars in batches.
    make
        From positions [kpc] to blocks of rows of R.
    columns
        Number of voxels.
    store
        Keeps on disk what was made once; none: made anew in each pass.
    """

    def __init__(
        self, stars: StreamedStars, make: MakeBlocks, columns: int, store: RayStore | None = None
    ):
        self._stars, self._make, self._store = stars, make, store
        self.columns = columns
        self._shares = shares(stars.mesh)
        self.batches = stars.count * self._shares
        self.rows = stars.rays * stars.size // self._shares
        self._ready: Prefetched[list[list[sp.csr_array]]] = Prefetched(self._load, KEPT)

    def _load(self, batch: int) -> list[list[sp.csr_array]]:
        parts = rows_by_device(self._stars.rows(batch), self._stars.mesh)
        return [
            self._share(batch, batch + share * self._stars.count, part)
            for share, part in enumerate(parts)
        ]

    def _share(self, batch: int, number: int, rows: np.ndarray) -> list[sp.csr_array]:
        def make() -> list[sp.csr_array]:
            ends = self._stars.observations(batch).ends[rows]
            return self._make(ends.reshape(-1, ends.shape[-1]))

        return make() if self._store is None else self._store.blocks(number, make)

    def prefetch(self, batch: int) -> None:
        """Begin to make the rows of a batch."""
        self._ready.prefetch(batch)

    def ready(self, batch: int) -> None:
        """Wait until the rows of a batch are made."""
        self._ready.get(batch)

    def blocks(self, batch: int) -> list[sp.csr_array]:
        """The rows of a share of a batch; all batches of the first device come first."""
        return self._ready.get(batch % self._stars.count)[batch // self._stars.count]


class MatrixLines:
    """Production rays on the host: one program, whose matrix is `rows` of the batch.

    Parameters
    ----------
    rays
        The sightlines, with a matrix of this source.
    source
        The rows.
    cells
        Rays to each star, where distances are uncertain.
    """

    def __init__(self, rays: GridSightlines, source: StreamedRays, cells: int = 1):
        self._matrix, self._source = rays, source
        self._rays = CellSightlines(rays, cells) if cells > 1 else rays

    @property
    def rays(self) -> Sightlines:
        """The sightlines to all batches."""
        return self._rays

    def prefetch(self, batch: int) -> None:
        """Begin to make the rows of a batch."""
        self._source.prefetch(batch)

    def at(self, batch: int) -> tuple[Sightlines, int]:
        """The sightlines, once their rows are there."""
        self._source.ready(batch)
        return self._rays, batch

    def release(self) -> None:
        """Let go of the rows."""
        self._matrix.release()


class BatchLines:
    """Sightlines that are made of arrays: new ones for each batch.

    Parameters
    ----------
    stars
        The stars in batches.
    make
        From `Observations.ends` and rows of shape (1, size) to sightlines.
    """

    def __init__(self, stars: StreamedStars, make: Callable[[np.ndarray, np.ndarray], Sightlines]):
        self._stars, self._make = stars, make
        self._ready: Prefetched[Sightlines] = Prefetched(self._load, KEPT)

    @property
    def rays(self) -> Sightlines:
        """Sightlines to the first batch, to look at."""
        return self._ready.get(0)

    def _load(self, batch: int) -> Sightlines:
        return self._make(self._stars.observations(batch).ends, self._stars.rows(batch))

    def prefetch(self, batch: int) -> None:
        """Begin to make the sightlines to a batch."""
        self._ready.prefetch(batch)

    def at(self, batch: int) -> tuple[Sightlines, int]:
        """The sightlines to this batch alone."""
        return self._ready.get(batch), 0

    def release(self) -> None:
        """Let go of them: they are arrays, which nothing else holds."""


class StreamedBatches:
    """As `Batches`, of stars that are read and sightlines that are made as they are needed.

    Parameters
    ----------
    stars, lines
        Stars and sightlines in batches.
    dtype
        Precision of the stars.
    """

    def __init__(self, stars: StreamedStars, lines: Lines, dtype: Any):
        self.count, self.size, self.number = stars.count, stars.size, stars.number
        self._stars, self._lines, self._dtype = stars, lines, dtype

    @property
    def rays(self) -> Sightlines:
        """The sightlines."""
        return self._lines.rays

    def stars(self, batch: int) -> Stars:
        """The measured stars of one batch, arrays of shape (size,); weight 0 fills up."""
        observations, rows = self._stars.observations(batch), self._stars.rows(batch)[0]
        return share_out(stars_of(observations, rows, self._dtype), self._stars.mesh)

    def release(self) -> None:
        """Let go of the sightlines, which will not be used again."""
        self._lines.release()

    def prefetch(self, batch: int) -> None:
        """Begin to make a batch ready."""
        self._stars.prefetch(batch)
        self._lines.prefetch(batch)

    def at(self, batch: int) -> Batch:
        """Sightlines, the number of the batch among them, and stars: arguments of a step."""
        rays, number = self._lines.at(batch)
        return rays, jnp.asarray(number), self.stars(batch)

    def walk(self, order: Iterable[int] | None = None) -> Iterator[Batch]:
        """All batches, in a given order or as they come, the next one being made ready."""
        return walk_batches(self, order)
