"""A star table as a fit takes it: whole into memory, or batch by batch from a scratch file."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from dust3d.io.scratch import OrderedStars, write_ordered
from dust3d.io.stars import observation_chunks
from dust3d.io.tables import count_rows
from dust3d.observations import Observations, joined


class StarTable:
    """Stars of a table that may be larger than memory.

    It is read once at the start, in chunks: checked, measured, sampled.

    Parameters
    ----------
    path
        The table.
    half_widths
        Of the box [kpc].
    class_names
        Names of all classes.
    scratch
        Where the stars go in the order of the batches, if they are not taken into memory.
    sample
        From the number of stars to the rows of a random sample, which rise.
    order
        From the number of stars to their rows in the order of the batches; none: as they stand.
    cells
        Of the distance posteriors; 1: distances are taken as known.

    Attributes
    ----------
    reach_kpc
        The longest ray [kpc].
    sample
        The stars of the sample.

    Raises
    ------
    TableError
        As `read_observations` does.
    """

    def __init__(
        self,
        path: str | Path,
        half_widths: Sequence[float],
        class_names: tuple[str, ...],
        *,
        scratch: str | Path,
        sample: Callable[[int], np.ndarray],
        order: Callable[[int], np.ndarray] | None = None,
        cells: int = 1,
    ):
        self.class_names = class_names
        self._path, self._half_widths, self._scratch = path, tuple(half_widths), Path(scratch)
        self._cells = cells
        self._number, self._order = count_rows(path), order
        self._resident: Observations | None = None
        rows, first, reach, parts = sample(self._number), 0, 0.0, []
        for chunk in self._chunks():
            reach = max(reach, chunk.reach_kpc)
            inside = rows[(rows >= first) & (rows < first + len(chunk))]
            parts.append(chunk.take(inside - first))
            first += len(chunk)
        self.reach_kpc, self.sample = reach, joined(parts)

    def __len__(self) -> int:
        return self._number

    def _chunks(self) -> Iterator[Observations]:
        return observation_chunks(self._path, self._half_widths, self.class_names, self._cells)

    def order(self) -> np.ndarray:
        """Rows of the table in the order of the batches."""
        return np.arange(self._number) if self._order is None else self._order(self._number)

    def resident(self) -> Observations:
        """All stars in memory, as their table has them."""
        if self._resident is None:
            self._resident = joined(list(self._chunks()))
        return self._resident

    def some(self, rows: np.ndarray) -> Observations:
        """The stars of some rows of the table, which rise; the others are read and let go."""
        first, parts = 0, []
        for chunk in self._chunks():
            inside = rows[(rows >= first) & (rows < first + len(chunk))]
            parts.append(chunk.take(inside - first))
            first += len(chunk)
        return joined(parts)

    @cached_property
    def _ordered(self) -> OrderedStars:
        # whoever takes stars one by one does not want them in memory
        self._resident = None
        order = self.order()
        places = np.empty_like(order)
        places[order] = np.arange(self._number, dtype=order.dtype)
        shape = (len(self._half_widths), self.sample.rays)
        return write_ordered(self._scratch, self._chunks(), places, self.class_names, *shape)

    def take(self, first: int, last: int) -> Observations:
        """The stars from one place of the order up to another."""
        return self._ordered.take(first, last)

    def close(self) -> None:
        """Remove the scratch file, if there is one."""
        if "_ordered" in self.__dict__:
            self.__dict__.pop("_ordered").remove()
