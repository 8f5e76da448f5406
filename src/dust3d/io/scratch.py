"""Stars in the order in which a fit takes them, on disk: for tables larger than memory.

A table is read once, in chunks. Its stars go to buckets of consecutive places of the new
order, appended as they come; then each bucket is put in order in memory. Reading and
writing are sequential, and memory holds one chunk and one bucket, whatever the number of
stars. The order is any permutation: the same stars meet in a batch as in memory.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dust3d.distances import DistanceCells
from dust3d.files import remove
from dust3d.io.hdf5 import reading, writing
from dust3d.observations import Observations

_PRODUCT = "dust3d-ordered-stars"
_DATASET = "stars"
_STARS_PER_BUCKET = 1 << 17


def _record(ndim: int, cells: int) -> np.dtype:
    columns = [
        ("position", np.float64, (ndim,)),
        ("extinction", np.float64),
        ("sigma", np.float64),
        ("class", np.int16),
        ("place", np.int64),
    ]
    if cells > 1:
        columns += [(name, np.float64, (cells,)) for name in ("cell_distance", "cell_spread")]
    return np.dtype(columns)


def scratch_bytes(stars: int, ndim: int, cells: int = 1) -> int:
    """Size of the file [bytes]."""
    return stars * _record(ndim, cells).itemsize


class OrderedStars:
    """Stars in a given order in a scratch file.

    Parameters
    ----------
    path
        The file.
    class_names
        Names of the classes.
    """

    def __init__(self, path: str | Path, class_names: tuple[str, ...]):
        self.path, self.class_names = Path(path), class_names
        with reading(path, _PRODUCT, sealed=False) as file:
            dataset: Any = file[_DATASET]
            self._number = len(dataset)

    def __len__(self) -> int:
        return self._number

    def take(self, first: int, last: int) -> Observations:
        """The stars from one place of the order up to another."""
        with reading(self.path, _PRODUCT, sealed=False) as file:
            dataset: Any = file[_DATASET]
            part = dataset[first:last]
        cells = None
        if "cell_distance" in (part.dtype.names or ()):
            cells = DistanceCells(part["cell_distance"], part["cell_spread"])
        return Observations(
            part["position"],
            part["extinction"],
            part["sigma"],
            part["class"].astype(np.int64),
            self.class_names,
            cells,
        )

    def remove(self) -> None:
        """Delete the file."""
        remove(self.path)


def write_ordered(
    path: str | Path,
    chunks: Iterable[Observations],
    places: np.ndarray,
    class_names: tuple[str, ...],
    ndim: int,
    cells: int = 1,
    bucket: int = _STARS_PER_BUCKET,
) -> OrderedStars:
    """Put stars in order.

    Parameters
    ----------
    path
        The scratch file.
    chunks
        The stars as their table has them.
    places
        The place of each row of the table in the new order, a permutation of 0 ... n - 1.
    class_names
        Names of the classes.
    ndim
        Number of dimensions.
    cells
        Of the stars' distance posteriors; 1: they have none.
    bucket
        Stars of a bucket.
    """
    number, record = len(places), _record(ndim, cells)
    firsts = np.arange(0, number, bucket)
    filled, row = firsts.copy(), 0
    with writing(path, _PRODUCT, sealed=False) as file:
        dataset: Any = file.create_dataset(_DATASET, (number,), record)
        for chunk in chunks:
            some = _records(chunk, places[row : row + len(chunk)], record)
            row += len(chunk)
            for i, part in _by_bucket(some, bucket):
                dataset[filled[i] : filled[i] + len(part)] = part
                filled[i] += len(part)
        for first in firsts:
            part = dataset[first : first + bucket]
            ordered = np.empty_like(part)
            ordered[part["place"] - first] = part
            dataset[first : first + bucket] = ordered
    return OrderedStars(path, class_names)


def _records(chunk: Observations, places: np.ndarray, record: np.dtype) -> np.ndarray:
    out = np.empty(len(chunk), record)
    out["position"], out["extinction"] = chunk.positions, chunk.extinction
    out["sigma"], out["class"], out["place"] = chunk.sigma, chunk.classes, places
    if chunk.cells is not None:
        out["cell_distance"], out["cell_spread"] = chunk.cells.distance, chunk.cells.spread
    return out


def _by_bucket(records: np.ndarray, bucket: int) -> Iterable[tuple[int, np.ndarray]]:
    """Records of each bucket, with its number."""
    number = records["place"] // bucket
    order = np.argsort(number, kind="stable")
    buckets, starts = np.unique(number[order], return_index=True)
    return zip(buckets.tolist(), np.split(records[order], starts[1:]), strict=True)
