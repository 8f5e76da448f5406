"""Tables of stars in any file format, read as they are: their names, units and values.

A damaged file is refused whole; what its columns mean is decided in `dust3d.io.ingest`.
"""

import re
import warnings
from collections import Counter
from collections.abc import Callable
from itertools import dropwhile
from pathlib import Path

import h5py
import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning

from dust3d.conventions import TABLE_PATH
from dust3d.errors import Dust3dError, TableError
from dust3d.io.limits import check_expansion, open_bytes
from dust3d.io.seals import check_seal
from dust3d.io.structure import check_dataset, datasets
from dust3d.io.votables import check_claims

_SUFFIXES = {
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".fits": "fits",
    ".fit": "fits",
    ".ecsv": "ecsv",
    ".csv": "csv",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".parquet": "parquet",
}


def format_of(path: Path) -> str:
    """File format by the file's name, compressed or not.

    Raises
    ------
    TableError
        If the name does not tell.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    found = _SUFFIXES.get(suffixes[-1]) if suffixes else None
    if found is None:
        raise TableError(
            f"{path}: the name does not tell the format; set `format` to one of "
            f"{', '.join(sorted(set(_SUFFIXES.values())))} or fixed_width"
        )
    return found


def read_file(
    path: str | Path,
    file_format: str = "auto",
    byte_columns: dict[str, tuple[int, int]] | None = None,
) -> Table:
    """Read a table, whatever its format.

    Parameters
    ----------
    path
        The file; FITS, ECSV, CSV, VOTable and fixed-width files may be gzipped.
    file_format
        hdf5, fits, ecsv, csv, votable, parquet, fixed_width, or auto.
    byte_columns
        For fixed_width: first and last byte of each column, from 1.

    Returns
    -------
    The table with the file's own names and units; masked values stay masked.

    Raises
    ------
    TableError
        If the file is missing, empty, truncated, damaged, or has two columns of one name.
    """
    path = Path(path)
    if not path.is_file():
        raise TableError(f"{path}: no such file; check `path`, or run `make data`")
    if path.stat().st_size == 0:
        raise TableError(f"{path}: the file is empty (0 bytes); fetch it again")
    if file_format == "auto":
        file_format = format_of(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for message in (".*truncated", "(Checksum|Datasum) verification failed"):
                warnings.filterwarnings("error", message, AstropyUserWarning)
            if file_format == "fixed_width":
                table = _read_fixed_width(path, byte_columns or {})
            else:
                table = _READERS[file_format](path)
    except Dust3dError:
        raise
    # every library has exceptions of its own for a file that it cannot read
    except Exception as error:
        raise TableError(
            f"{path}: cannot be read as {file_format} ({type(error).__name__}: {error}); the file "
            "is damaged, truncated or of another format: fetch it again, or set `format`"
        ) from error
    if len(table) == 0:
        raise TableError(f"{path}: the table has no rows (0 rows); fetch it again")
    return table


def _refuse_repeated(path: Path, names: list[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise TableError(
            f"{path}: column {repeated[0]!r} appears {names.count(repeated[0])} times; which one "
            "is meant cannot be known: rename or remove the others in the file"
        )


def _read_hdf5(path: Path) -> Table:
    check_seal(path)
    with h5py.File(path, "r") as file:
        tables = {
            name: item
            for name, item in datasets(file, strict=False)
            if item.dtype.names is not None
        }
        name = TABLE_PATH if TABLE_PATH in tables else next(iter(tables), "")
        if name != TABLE_PATH and len(tables) != 1:
            raise TableError(
                f"{path}: holds {len(tables)} tables ({', '.join(tables) or 'none'}); one table is "
                f"needed: write one, or one named {TABLE_PATH!r}"
            )
        check_dataset(name, tables[name], texts=True)
        return Table.read(file, path=name, format="hdf5", character_as_bytes=False)


def _read_fits(path: Path) -> Table:
    with open_bytes(path) as file, fits.open(file, memmap=False, checksum=True) as units:
        tables = [unit for unit in units if isinstance(unit, fits.BinTableHDU | fits.TableHDU)]
        if not tables:
            raise TableError(
                f"{path}: holds no whole table extension; the file is truncated or no FITS table: "
                "fetch it again"
            )
        check_expansion(int(tables[0].size), path.stat().st_size)
        _refuse_repeated(path, [str(column.name) for column in tables[0].columns or ()])
        return Table.read(tables[0], character_as_bytes=False)


def _read_ecsv(path: Path) -> Table:
    lines = _lines(path)
    header = next((line for line in lines if not line.startswith("#")), "")
    _refuse_repeated(path, header.replace(",", " ").split())
    return Table.read(lines, format="ascii.ecsv")


def _read_votable(path: Path) -> Table:
    from astropy.io.votable import parse_single_table

    with open_bytes(path) as file:
        check_claims(file, path.stat().st_size)
    with open_bytes(path) as file:
        table = parse_single_table(file.read)
    _refuse_repeated(path, [field.name for field in table.fields])
    return table.to_table(use_names_over_ids=True)


def _read_parquet(path: Path) -> Table:
    import pyarrow.parquet

    about = pyarrow.parquet.read_metadata(path)
    check_expansion(8 * about.num_rows * about.num_columns, path.stat().st_size)
    _refuse_repeated(path, list(about.schema.to_arrow_schema().names))
    return Table.read(path, format="parquet")


def _lines(path: Path) -> list[str]:
    """Lines of text, without the mark of byte order that some programs put first."""
    with open_bytes(path) as file:
        text = file.read().decode("utf-8-sig")
    if "\0" in text:
        raise ValueError(f"line {text[: text.index(chr(0))].count(chr(10)) + 1} holds a NUL byte")
    if text and text[-1] not in "\r\n":
        raise TableError(
            f"{path}: the last line does not end, so the file may be truncated in it: fetch it "
            "again, or end the line"
        )
    return text.splitlines()


def _read_csv(path: Path) -> Table:
    """Comma-separated values; a last column of free text may hold commas itself."""
    lines = _lines(path)
    if lines[0].startswith("# %ECSV"):
        return _read_ecsv(path)
    lines = list(dropwhile(lambda line: line.startswith("#"), filter(str.strip, lines)))
    if not lines:
        return Table()
    names = lines[0].split(",")
    _refuse_header(path, lines[0], names)
    _refuse_repeated(path, [name.strip(' "') for name in names])
    if len(lines) > 1 and lines[-1].count(",") < len(names) - 1:
        raise TableError(
            f"{path}: the last row has {lines[-1].count(',') + 1} of {len(names)} columns; the "
            "file is truncated: fetch it again"
        )
    unquoted = not any('"' in line for line in lines)
    shorter = [line for line in lines if line.count(",") < len(names) - 1] if unquoted else []
    if shorter:
        raise TableError(
            f"{path}: {len(shorter)} rows have fewer than {len(names)} columns, "
            f"the first: {shorter[0][:80]!r}; repair them, or fetch the file again"
        )
    longer = [line for line in lines if line.count(",") >= len(names)] if unquoted else []
    if longer:
        return _read_csv_with_text(path, names, lines[1:], longer)
    return Table.read(lines, format="ascii.fast_csv", guess=False)


def _refuse_header(path: Path, header: str, names: list[str]) -> None:
    """Refuse a first line that names no columns, or not between commas."""
    for separator, plain in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(names) == 1 and separator in header:
            raise TableError(
                f"{path}: the columns are separated by {plain}, not by commas; export the table "
                "with commas, and with points in the numbers"
            )
    if all(re.fullmatch(r"[-+.\deE]*\d[-+.\deE]*", name.strip(' "')) for name in names):
        raise TableError(
            f"{path}: the first line that is no comment holds numbers ({header[:60]!r}), not the "
            "names of the columns; put them there, without '#'"
        )


def _read_csv_with_text(path: Path, names: list[str], lines: list[str], longer: list[str]) -> Table:
    """Unquoted values, the last of which takes all further commas: it must be text."""
    rows = [line.split(",", len(names) - 1) for line in lines if line]
    columns = [np.array(cells, dtype=str) for cells in zip(*rows, strict=True)]
    plain = np.char.find(columns[-1], ",") < 0
    if _parse_cells(np.char.encode(columns[-1][plain], "utf-8")).dtype.kind in "if":
        raise TableError(
            f"{path}: {len(longer)} of {len(rows)} rows have more than {len(names)} columns, the "
            f"first: {longer[0]!r}; quote values that hold commas, or repair the rows"
        )
    return Table(
        [_parse_cells(np.char.strip(np.char.encode(cells, "utf-8"))) for cells in columns],
        names=names,
    )


def _read_fixed_width(path: Path, byte_columns: dict[str, tuple[int, int]]) -> Table:
    with open_bytes(path) as file:
        content = file.read()
    lines = [line.rstrip(b"\r") for line in content.split(b"\n")]
    lines = [line for line in lines if line.strip()]
    if not lines:
        return Table()
    width = max(last for _, last in byte_columns.values())
    if not content.endswith(b"\n") and len(lines[-1]) < width <= max(map(len, lines)):
        raise TableError(
            f"{path}: row {len(lines)} ends at byte {len(lines[-1])} of {width}; the file is "
            "truncated: fetch it again"
        )
    # rows of bytes, cut column by column: a hundred times faster than line by line
    rows = np.array(lines, dtype=f"S{max(width, max(map(len, lines)))}")
    letters = rows.view("S1").reshape(len(rows), -1)
    table = Table()
    for name, (first, last) in byte_columns.items():
        cell = np.ascontiguousarray(letters[:, first - 1 : last]).view(f"S{last - first + 1}")
        table[name] = _parse_cells(np.char.strip(cell.ravel()))
    return table


def _parse_cells(cells: np.ndarray) -> np.ndarray:
    """Integers if all are, else numbers (NaN where blank), else text."""
    blank = cells == b""
    try:
        return cells.astype(np.int64)
    except ValueError:
        pass
    try:
        return np.where(blank, b"nan", cells).astype(np.float64)
    except ValueError:
        return np.asarray(np.char.decode(cells, "utf-8", "replace"))


_READERS: dict[str, Callable[[Path], Table]] = {
    "hdf5": _read_hdf5,
    "fits": _read_fits,
    "ecsv": _read_ecsv,
    "csv": _read_csv,
    "votable": _read_votable,
    "parquet": _read_parquet,
}
