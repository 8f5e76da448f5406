"""Rows of ray matrices kept on disk: each batch is made once, then read."""

import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import scipy.sparse as sp

from dust3d.conventions import RAYS_FORMAT
from dust3d.errors import ProductError
from dust3d.io.hdf5 import group_in, reading, write_attrs, writing
from dust3d.progress import logger

_PARTS = ("data", "indices", "indptr")


class RayStore:
    """A folder with a file for each batch of rows.

    Plain reads, one batch at a time: memory holds what was asked for and nothing else.

    Parameters
    ----------
    folder
        Where the files go; rays of other stars, grids or kernels may stand there too.
    key
        Digest of all that the rows depend on: stars, their order, batches, scheme.
    """

    def __init__(self, folder: str | Path, key: str):
        self._folder, self._key = Path(folder), key

    def path(self, batch: int) -> Path:
        """The file of a batch."""
        return self._folder / f"{self._key[:16]}-{batch:06d}.h5"

    def blocks(self, batch: int, make: Callable[[], list[sp.csr_array]]) -> list[sp.csr_array]:
        """The blocks of rows of a batch: read, or made and written.

        A file that is damaged is made anew, with a warning.

        Raises
        ------
        StorageError
            When the disk is full or the folder cannot be written.
        """
        path = self.path(batch)
        if path.exists():
            try:
                return self._read(path)
            except ProductError as error:
                logger.warning("rays are made anew: %s", error)
        blocks = make()
        with writing(path, RAYS_FORMAT, sealed=False) as file:
            write_attrs(file, {"key": self._key})
            for i, block in enumerate(blocks):
                group = file.create_group(f"{i:03d}")
                group["shape"] = np.asarray(block.shape)
                for name in _PARTS:
                    array = getattr(block, name)
                    group[name] = array
                    group[f"{name}_crc32"] = _checksum(array)
        return blocks

    def _read(self, path: Path) -> list[sp.csr_array]:
        with reading(path, RAYS_FORMAT, sealed=False) as file:
            if file.attrs["key"] != self._key:
                raise ProductError(f"{path}: rays of other stars")
            return [_block(group_in(file, name)) for name in sorted(file)]


def _block(group: h5py.Group) -> sp.csr_array:
    arrays = []
    for name in _PARTS:
        array = np.asarray(group[name])
        if _checksum(array) != int(np.asarray(group[f"{name}_crc32"])):
            raise ValueError(f"the checksum of {name} is not that of its content")
        arrays.append(array)
    shape = np.asarray(group["shape"]).tolist()
    return sp.csr_array(tuple(arrays), shape=tuple(shape), copy=False)


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data.cast("B"))
