"""Star tables: `QTable`s with units in HDF5, the form of every `stars/*.h5`."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from astropy.table import QTable

from dust3d.conventions import TABLE_PATH
from dust3d.errors import TableError
from dust3d.files import atomic_path


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
        table.write(aside, path=TABLE_PATH, serialize_meta=True, format="hdf5")


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
    path = Path(path)
    if not path.is_file():
        raise TableError(f"{path}: no such file; run the workflow again to make it")
    try:
        with h5py.File(path, "r") as file:
            if TABLE_PATH not in file:
                raise TableError(
                    f"{path}: holds no table {TABLE_PATH!r}, but {', '.join(file) or 'nothing'}; "
                    "remove the file and run the workflow again"
                )
        table = QTable.read(path, path=TABLE_PATH, format="hdf5", character_as_bytes=False)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise TableError(
            f"{path}: damaged or no HDF5 table ({error}); remove the file and run the workflow "
            "again"
        ) from error
    if len(table) == 0:
        raise TableError(f"{path}: the table has no rows (0 rows); make it again")
    if columns is None:
        return table
    missing = [name for name in columns if name not in table.colnames]
    if missing:
        raise TableError(
            f"{path}: no column {', '.join(map(repr, missing))} (it has: "
            f"{', '.join(table.colnames)}); make the table again"
        )
    return QTable(table[list(columns)], copy=False)


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
