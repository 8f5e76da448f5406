"""What an HDF5 file may hold: nothing that points out of it, and no more than it stores."""

import math
from collections.abc import Iterator

import h5py
import numpy as np

from dust3d.io.limits import check_expansion

_DEEPEST = 32
_MOST_ITEMS = 100_000
# packing what cannot be packed adds a little
_CHUNK_HEADER_BYTES = 1024


def datasets(file: h5py.Group, *, strict: bool = True) -> Iterator[tuple[str, h5py.Dataset]]:
    """Path and dataset, through all groups.

    Parameters
    ----------
    file
        The file or a group of it.
    strict
        Whether links that are not plain names are refused, or else passed over.

    Raises
    ------
    ValueError
        If a group points elsewhere, or groups are nested too deep or are too many.
    """
    todo, items = [("", file, 0)], 0
    while todo:
        prefix, group, depth = todo.pop()
        for name in group:
            items += 1
            if items > _MOST_ITEMS or depth > _DEEPEST:
                raise ValueError("its groups are nested too deep or are too many")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                if strict:
                    raise ValueError(f"{prefix}{name} points elsewhere")
                continue
            item = group[name]
            if isinstance(item, h5py.Dataset):
                yield f"{prefix}{name}", item
            elif isinstance(item, h5py.Group):
                todo.append((f"{prefix}{name}/", item, depth + 1))


def check_dataset(name: str, dataset: h5py.Dataset, *, texts: bool = False) -> None:
    """Refuse a dataset that cannot be read safely.

    Parameters
    ----------
    name
        Its path, for the message.
    dataset
        The dataset; nothing is read.
    texts
        Whether texts of variable length are allowed; references never are.

    Raises
    ------
    ValueError
        If its values lie in other files, are references, or are more than the file stores.
    """
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name} takes its values from other files")
    if any(not (texts and h5py.check_string_dtype(kind)) for kind in _objects(dataset.dtype)):
        raise ValueError(f"{name} holds references or objects, not numbers or text")
    claimed = math.prod(int(n) for n in dataset.shape or ()) * dataset.dtype.itemsize
    check_expansion(claimed, int(dataset.id.get_storage_size()))
    if dataset.chunks:
        _check_chunks(name, dataset)


def _check_chunks(name: str, dataset: h5py.Dataset) -> None:
    """Refuse a packed chunk that is larger than what should come out of it: HDF5 unpacks it all."""
    largest = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize * 1.01 + _CHUNK_HEADER_BYTES
    stored: list[int] = []
    dataset.id.chunk_iter(lambda chunk: stored.append(chunk.size))
    if max(stored, default=0) > largest:
        raise ValueError(
            f"{name} has a chunk of {max(stored)} bytes, where {largest:.0f} are the most"
        )


def _objects(dtype: np.dtype) -> list[np.dtype]:
    """The parts of a type that are no plain numbers or texts."""
    if dtype.subdtype is not None:
        return _objects(dtype.subdtype[0])
    if dtype.names is not None:
        return [part for name in dtype.names for part in _objects(dtype[name])]
    return [dtype] if dtype.kind == "O" else []


def check_file(file: h5py.Group) -> None:
    """Refuse a product that holds what dust3d does not write.

    Raises
    ------
    ValueError
        As `datasets` and `check_dataset` do.
    """
    for name, dataset in datasets(file):
        check_dataset(name, dataset)
