"""Opening HDF5 products: format, version and damage are checked before anything is used."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dust3d.conventions import FORMAT_VERSION
from dust3d.errors import ProductError
from dust3d.files import atomic_path
from dust3d.io.seals import check_seal, seal
from dust3d.io.structure import check_file

# a file of these names that has lost even its first bytes is still one of ours
_NAMES = ("field.h5", "history.h5", "checkpoint.h5")


def looks_like_hdf5(path: str | Path) -> bool:
    """Whether a file begins as HDF5 files do, or has the name of one of a run's."""
    with open(path, "rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n" or Path(path).name in _NAMES


DAMAGE = (
    OSError,
    LookupError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)
"""What h5py, JSON and the makers of fields raise where a file holds something else."""


@contextmanager
def reading(path: str | Path, product: str, *, sealed: bool = True) -> Iterator[h5py.File]:
    """Open a product to read.

    Parameters
    ----------
    path
        The file.
    product
        Its format.
    sealed
        Whether its checksum is looked for, which reads all of the file once.

    Raises
    ------
    ProductError
        If the file is missing, damaged, of another format or format version.
    """
    path = Path(path)
    if not path.is_file():
        raise ProductError(f"{path}: no such file; make the {product} again, or name another one")
    if not looks_like_hdf5(path):
        raise ProductError(f"{path}: not an HDF5 file; give the {product} of a run")
    try:
        if sealed:
            check_seal(path)
        with h5py.File(path, "r") as file:
            check_file(file)
            found, number = file.attrs.get("format"), file.attrs.get("format_version")
            if found != product:
                raise ProductError(
                    f"{path}: not a {product} (its format attribute is {found!r}); "
                    f"give the {product} of a run"
                )
            if number != FORMAT_VERSION:
                raise ProductError(
                    f"{path}: {product} of format version {number}, but this dust3d reads version "
                    f"{FORMAT_VERSION}; make it again, or use the dust3d that wrote it"
                )
            yield file
    except DAMAGE as error:
        raise ProductError(
            f"{path}: damaged or cut short ({str(error) or type(error).__name__}); delete it and "
            "run again"
        ) from error


@contextmanager
def writing(
    path: str | Path, product: str, *, sealed: bool = True, keep: Path | None = None
) -> Iterator[h5py.File]:
    """Open a product to write; it appears at `path` once it is whole, with its checksum.

    The one that stood there goes to `keep`, if that is given. Sealed ones are made in memory.
    """
    with atomic_path(path, keep) as aside:
        with made(aside, in_memory=sealed) as file:
            file.attrs["format"] = product
            file.attrs["format_version"] = FORMAT_VERSION
            yield file
        if sealed:
            seal(aside)


@contextmanager
def made(path: Path, *, in_memory: bool) -> Iterator[h5py.File]:
    """A new file to fill, written as it comes or in one go.

    On a full disk HDF5 cannot close a file, and ends the process by a segmentation fault: a file
    that is made in memory is written by Python, which only says so.
    """
    if not in_memory:
        with h5py.File(path, "w") as file:
            yield file
        return
    with h5py.File(path, "w", driver="core", backing_store=False) as file:
        yield file
        file.flush()
        path.write_bytes(file.id.get_file_image())


def write_attrs(group: h5py.Group, attrs: dict[str, Any]) -> None:
    """Store JSON-able values as attributes; nested ones as JSON text; None is left out."""
    for key, value in attrs.items():
        if value is None:
            continue
        plain = isinstance(value, str | int | float | bool)
        group.attrs[key] = value if plain else json.dumps(value, sort_keys=True)


def read_attrs(group: h5py.Group) -> dict[str, Any]:
    """Attributes as `write_attrs` was given them, lists as tuples."""
    return {str(key): _plain(value) for key, value in group.attrs.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in "[{":
        return tuples(json.loads(value))
    return value.item() if isinstance(value, np.generic) else value


def tuples(value: Any) -> Any:
    """Lists as tuples, also inside of lists."""
    return tuple(tuples(v) for v in value) if isinstance(value, list) else value


def group_in(parent: h5py.Group, name: str) -> h5py.Group:
    """The group of a name; anything else in its place is damage, as nothing would be."""
    found = parent[name]
    if not isinstance(found, h5py.Group):
        raise KeyError(f"{name} is no group")
    return found
