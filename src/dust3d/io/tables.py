"""Star tables: `QTable`s with units in HDF5, the form of every `stars/*.h5`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from astropy import units as u
from astropy.table import QTable
from astropy.table.meta import YamlParseError, get_header_from_yaml

from dust3d.conventions import TABLE_PATH
from dust3d.errors import TableError
from dust3d.files import atomic_path
from dust3d.io.hdf5 import DAMAGE, made
from dust3d.io.seals import check_seal, seal
from dust3d.io.structure import check_file

_ROWS_PER_CHUNK = 1 << 16
_MOST_IN_MEMORY = 10**9
_COLUMNS = f"{TABLE_PATH}.__table_column_meta__"


def write_table(path: str | Path, table: QTable) -> None:
    """Write a star table, units and `meta` included; it appears whole or not at all.

    Parameters
    ----------
    path
        The HDF5 file; `QTable.read(path, path="stars")` opens it.
    table
        Columns of numbers, quantities and text. Columns of Python objects are refused.

    Raises
    ------
    TableError
        If a column holds Python objects.
    StorageError
        If the disk is full or the folder cannot be written.
    """
    for name in table.colnames:
        if table[name].dtype.kind == "O":
            raise TableError(
                f"{path}: column {name!r} holds Python objects; make it numbers or text"
            )
    with atomic_path(path) as aside:
        with made(aside, in_memory=_bytes(table) < _MOST_IN_MEMORY) as file:
            table.write(file, path=TABLE_PATH, serialize_meta=True, format="hdf5")
        seal(aside)


def _bytes(table: QTable) -> int:
    return sum(table[name].nbytes for name in table.colnames)


def read_table(path: str | Path, columns: list[str] | tuple[str, ...] | None = None) -> QTable:
    """Read a star table that dust3d wrote.

    Parameters
    ----------
    path
        The HDF5 file.
    columns
        Columns that are needed, in this order; none: all of them.

    Raises
    ------
    TableError
        If the file is missing, damaged, empty or lacks a column.
    """
    with _opened(path):
        table = QTable.read(path, path=TABLE_PATH, format="hdf5", character_as_bytes=False)
    if columns is None:
        return table
    _need_columns(path, columns, table.colnames)
    return QTable(table[list(columns)], copy=False)


def count_rows(path: str | Path) -> int:
    """Number of rows of a star table; errors as for `read_table`."""
    with _opened(path, sealed=False) as (dataset, _):
        return len(dataset)


def read_chunks(
    path: str | Path, columns: Sequence[str], rows: int | None = None
) -> Iterator[QTable]:
    """Some columns of a star table, so many rows at a time: for tables larger than memory.

    Parameters
    ----------
    path
        The HDF5 file.
    columns
        Columns of numbers, quantities or text, in this order; masked numbers become NaN.
    rows
        Rows of a chunk; none: some hundred thousand.

    Raises
    ------
    TableError
        As for `read_table`.
    """
    rows = rows or _ROWS_PER_CHUNK
    with _opened(path) as (dataset, units):
        present = list(dataset.dtype.names)
        _need_columns(path, columns, present)
        masks = [f"{name}.mask" for name in columns if f"{name}.mask" in present]
        for start in range(0, len(dataset), rows):
            part = dataset.fields([*columns, *masks])[start : start + rows]
            yield QTable({name: _column(part, name, units.get(name)) for name in columns})


def _column(part: np.ndarray, name: str, unit: Any) -> Any:
    values = part[name]
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8")
    if f"{name}.mask" in (part.dtype.names or ()):
        values = np.where(part[f"{name}.mask"], np.nan, values)
    return values if unit is None else u.Quantity(values, unit)


@contextmanager
def _opened(
    path: str | Path, *, sealed: bool = True
) -> Iterator[tuple[h5py.Dataset, dict[str, Any]]]:
    """The rows of a star table in its file, whose checksum is right, and its columns' units."""
    path = Path(path)
    if not path.is_file():
        raise TableError(f"{path}: no such file; run the workflow again to make it")
    try:
        if sealed:
            check_seal(path)
        with h5py.File(path, "r") as file:
            check_file(file)
            if TABLE_PATH not in file:
                raise TableError(
                    f"{path}: holds no table {TABLE_PATH!r}, but {', '.join(file) or 'nothing'}; "
                    "remove the file and run the workflow again"
                )
            dataset: Any = file[TABLE_PATH]
            lines: Any = file[_COLUMNS][()]
            header = get_header_from_yaml(line.decode("utf-8") for line in lines)
            units = {c["name"]: u.Unit(c["unit"]) for c in header["datatype"] if c.get("unit")}
            if len(dataset) == 0:
                raise TableError(f"{path}: the table has no rows (0 rows); make it again")
            yield dataset, units
    except (*DAMAGE, YamlParseError) as error:
        raise TableError(
            f"{path}: damaged or no HDF5 table ({error}); remove the file and run the workflow "
            "again"
        ) from error


def read_meta(path: str | Path) -> dict[str, Any]:
    """What a star table carries besides its columns; errors as for `read_table`."""
    with _opened(path, sealed=False), h5py.File(path, "r") as file:
        lines: Any = file[_COLUMNS][()]
        header = get_header_from_yaml(line.decode("utf-8") for line in lines)
        return dict(header.get("meta", {}))


def _need_columns(path: str | Path, columns: Sequence[str], present: Sequence[str]) -> None:
    missing = [name for name in columns if name not in present]
    if missing:
        raise TableError(
            f"{path}: no column {', '.join(map(repr, missing))} (it has: "
            f"{', '.join(present)}); make the table again"
        )


def meta(table: QTable) -> dict[str, Any]:
    """What a table carries besides its columns."""
    return dict(table.meta or {})


def rows_of(table: QTable, rows: np.ndarray) -> QTable:
    """Some rows of a table, by booleans or row numbers; `meta` included."""
    return QTable(table[rows], copy=False)


def integers(table: QTable, name: str) -> np.ndarray:
    """A column of ids, int64, shape (n,)."""
    return np.asarray(table[name], dtype=np.int64)


def texts(table: QTable, name: str) -> np.ndarray:
    """A column of text, shape (n,); empty where masked."""
    column: Any = table[name]
    column = column.filled("") if hasattr(column, "filled") else column
    return np.asarray(column).astype(str)


def in_unit(table: QTable, name: str, unit: str) -> np.ndarray:
    """A column of quantities as float64 in `unit`; NaN where it is masked or not there.

    Parameters
    ----------
    table
        The table, of n rows.
    name
        The column.
    unit
        The unit, in astropy's spelling.

    Returns
    -------
    Array of shape (n,).
    """
    if name not in table.colnames:
        return np.full(len(table), np.nan)
    column: Any = table[name]
    column = column.filled(np.nan) if hasattr(column, "filled") else column
    return np.asarray(column.to_value(unit), dtype=np.float64)
