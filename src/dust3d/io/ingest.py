"""From somebody's catalogue to a star table of dust3d: names, units, checks."""

import math
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

from dust3d.config.catalogues import Catalogue, JoinedTable
from dust3d.config.catalogues import Table as TableSettings
from dust3d.errors import TableError, UnitsError
from dust3d.io.aliases import (
    ALIASES,
    ID_ALIASES,
    ID_COLUMNS,
    TEXT_COLUMNS,
    UNITS,
    Role,
    normalised,
    other_than_a_v,
)
from dust3d.io.checks import (
    LARGEST,
    check_epoch,
    check_errors,
    check_parallaxes,
    check_positions,
    check_sentinels,
    check_sizes,
    exact_ids,
)
from dust3d.io.formats import read_file
from dust3d.io.tables import in_unit, integers

_REQUIRED: dict[Role, tuple[str, ...]] = {
    "astrometry": ("ra", "dec", "parallax", "parallax_error"),
    "extinction": ("ra", "dec"),
}
_OF_EXTINCTION = ("extinction", "extinction_error", "class")
"""Taken from the extinction catalogue alone: of two, nobody would know which was mapped."""


def ingest(catalogue: Catalogue, role: Role) -> QTable:
    """Read a catalogue under our names and in our units, and check it.

    Parameters
    ----------
    catalogue
        The file, the meaning of its columns, the epoch of its positions, a second file to join.
    role
        `astrometry` (ids in `source_id`, parallaxes) or `extinction` (ids in `extinction_id`).

    Returns
    -------
    Every row; ids int64, quantities float64 with units, NaN where missing; `meta["epoch_yr"]`.

    Raises
    ------
    TableError
        If the file cannot be read, a column is missing or ambiguous, ids repeat, or positions or
        parallaxes are impossible.
    UnitsError
        If a quantity has no unit in the file or in the configuration, or one that does not fit.
    """
    path = Path(catalogue.path)
    table = _renamed(catalogue, role, required=_REQUIRED[role])
    if catalogue.join is not None:
        table = _joined(table, catalogue.join, role)
    table.meta = {"epoch_yr": float(catalogue.epoch_yr)}
    _check(path, table, catalogue.epoch_yr)
    return table


def _check(path: Path, table: QTable, epoch_yr: float) -> None:
    if "ref_epoch" in table.colnames:
        check_epoch(path, in_unit(table, "ref_epoch", "yr"), epoch_yr)
    check_positions(path, table["ra"].to_value("deg"), table["dec"].to_value("deg"))
    if "parallax" in table.colnames:
        if "parallax_error" not in table.colnames:
            raise _missing(path, "parallax_error", table.colnames)
        check_parallaxes(
            path, table["parallax"].to_value("mas"), table["parallax_error"].to_value("mas")
        )
    for name in table.colnames:
        if name in LARGEST:
            check_sizes(path, name, in_unit(table, name, UNITS[name]), UNITS[name])
        if name.endswith("_error"):
            check_errors(path, name, np.asarray(table[name]))


def _missing(path: Path, name: str, known: list[str]) -> TableError:
    meaning = " (A_V, not E(B-V))" if name == "extinction" else ""
    return TableError(
        f"{path}: no column {name!r}{meaning}, nor one of its common names "
        f"({', '.join(ALIASES.get(name, ())) or 'none'}); the file has: {', '.join(known)}. "
        f"Say which one it is in the configuration: `columns: {{{name}: NAME}}`"
    )


def _renamed(settings: TableSettings, role: Role, *, required: tuple[str, ...]) -> QTable:
    """A file's table under our names, with units; only columns that are known or mapped."""
    path = Path(settings.path)
    raw = read_file(path, settings.format, settings.byte_columns)
    names = _meanings(path, raw.colnames, settings.columns, role)
    id_name = ID_COLUMNS[role]
    for name in (id_name, *required):
        if name not in names:
            raise _missing(path, name, raw.colnames)
    unknown = sorted(set(settings.units) - set(names))
    if unknown:
        raise UnitsError(
            f"{path}: `units.{unknown[0]}` is set, but there is no such column; units go by our "
            f"names, here: {', '.join(names)}"
        )
    table = QTable()
    for ours, theirs in names.items():
        column: Any = raw[theirs]
        if column.ndim != 1:
            raise TableError(
                f"{path}: column {theirs!r} has {math.prod(column.shape[1:])} values a row, where "
                "one is needed; map another column"
            )
        if ours == id_name:
            table[ours] = exact_ids(path, theirs, _unmasked(column))
        elif ours in TEXT_COLUMNS:
            table[ours] = np.char.strip(_texts(path, theirs, column))
        else:
            table[ours] = _quantity(path, ours, theirs, column, settings.units.get(ours))
    return table


def _meanings(path: Path, present: list[str], mapped: dict[str, str], role: Role) -> dict[str, str]:
    """Our name -> the file's, from the configuration first, then from common names."""
    for ours, theirs in mapped.items():
        _refuse_misspelt(path, ours)
        if role == "astrometry" and ours in _OF_EXTINCTION:
            raise TableError(
                f"{path}: `columns.{ours}` stands under catalogues.astrometry, where it is not "
                "used; move it to catalogues.extinction, which may name the same file"
            )
        if theirs not in present:
            raise TableError(
                f"{path}: no column {theirs!r}, which `columns.{ours}` names; the file has: "
                f"{', '.join(present)}; correct the name"
            )
    names = dict(mapped)
    aliases = {ID_COLUMNS[role]: ID_ALIASES[role], **ALIASES}
    for ours, others in aliases.items():
        if ours in names or (role == "astrometry" and ours in _OF_EXTINCTION):
            continue
        candidates = [ours] if ours in present else [name for name in others if name in present]
        if len(candidates) > 1:
            raise TableError(
                f"{path}: columns {' and '.join(candidates)} could each be {ours!r}; say which one "
                f"in the configuration: `columns: {{{ours}: {candidates[0]}}}`"
            )
        if candidates:
            names[ours] = candidates[0]
    _refuse_other_extinctions(path, present, names, role)
    return names


def _refuse_misspelt(path: Path, ours: str) -> None:
    """Any name may be given to a further column, but not one that looks like one of ours."""
    known = [*ALIASES, *ID_COLUMNS.values()]
    if ours in known:
        return
    plain = {normalised(name): name for name in known}
    # magnitudes of many bands differ by a letter
    close = [] if ours.lower().endswith("mag") else get_close_matches(ours.lower(), known, 1, 0.85)
    meant = plain.get(normalised(ours)) or next(iter(close), None)
    if meant is not None:
        raise TableError(
            f"{path}: `columns.{ours}`: dust3d knows no column {ours!r}; did you mean {meant!r}? "
            "Correct it; a further column needs a name that is less alike"
        )


def _refuse_other_extinctions(
    path: Path, present: list[str], names: dict[str, str], role: Role
) -> None:
    chosen = [names[ours] for ours in ("extinction", "extinction_error") if ours in names]
    meanings = {name: other_than_a_v(name) for name in chosen}
    if "extinction" not in names and role == "extinction":
        others = [name for name in present if name not in names.values()]
        meanings |= {name: other_than_a_v(name, chosen=False) for name in others}
    for name, meaning in meanings.items():
        if meaning is not None:
            raise TableError(
                f"{path}: column {name!r} is {meaning}, where A_V is needed; no factor is guessed: "
                "write a column A_V (3.1 E(B-V) for the mean Galactic law) into the table, or "
                "remove this one"
            )


def _unmasked(column: Any) -> np.ndarray:
    """Values of a column, with NaN, or "" for text, where masked."""
    if not hasattr(column, "mask"):
        return np.asarray(column)
    if column.dtype.kind in "SU":
        return np.asarray(column.filled(""))
    if column.dtype.kind in "iu" and not np.any(column.mask):
        return np.asarray(column.filled(0))
    return np.asarray(column.astype(np.float64).filled(np.nan))


def _texts(path: Path, theirs: str, column: Any) -> np.ndarray:
    """A column as text."""
    values = _unmasked(column)
    try:
        return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values.astype(str)
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path}: column {theirs!r} holds bytes that are no text ({error}); repair these rows, "
            "or fetch the file again"
        ) from error


def _quantity(
    path: Path, ours: str, theirs: str, column: Any, stated: str | None
) -> u.Quantity | np.ndarray:
    """A column of numbers in our unit; text that no unit is stated for stays text."""
    values = _unmasked(column)
    if values.dtype.kind not in "iufb" or (ours in UNITS and column.dtype.kind == "b"):
        if ours not in UNITS and stated is None:
            return _texts(path, theirs, column)
        raise TableError(
            f"{path}: column {theirs!r} should hold numbers, but holds text or logical "
            f"values, such as {_first_text(values)!r}; repair these rows"
        )
    values = values.astype(np.float64)
    check_sentinels(path, ours, theirs, values)
    unit = _unit(path, ours, theirs, column.unit, stated)
    if ours not in UNITS:
        return values if unit is None else u.Quantity(values, unit)
    if unit is None:
        raise UnitsError(
            f"{path}: column {theirs!r} has no unit; say it in the configuration, for example "
            f"`units: {{{ours}: {UNITS[ours]}}}`"
        )
    try:
        return u.Quantity(u.Quantity(values, unit), UNITS[ours])
    except u.UnitConversionError as error:
        raise UnitsError(
            f"{path}: column {theirs!r} is in {unit}, where {ours!r} needs {UNITS[ours]} or a unit "
            "that converts to it; map another column or correct its unit"
        ) from error


def _first_text(values: np.ndarray) -> str:
    for value in values.astype(str):
        try:
            float(value)
        except ValueError:
            return str(value)
    return ""


def _unit(
    path: Path, ours: str, theirs: str, in_file: u.UnitBase | None, stated: str | None
) -> u.UnitBase | None:
    """The unit from the file or the configuration, which must not contradict each other."""
    if isinstance(in_file, u.UnrecognizedUnit):
        if stated is None:
            raise UnitsError(
                f"{path}: the unit {in_file.to_string()!r} of column {theirs!r} is not known; say "
                f"it in the configuration: `units: {{{ours}: UNIT}}`"
            )
        in_file = None
    if stated is None:
        return in_file
    try:
        unit = u.Unit(stated)
    except ValueError as error:
        raise UnitsError(f"{path}: `units.{ours}: {stated}` is no unit ({error})") from error
    if in_file is not None and in_file != unit:
        raise UnitsError(
            f"{path}: column {theirs!r} is in {in_file} by the file and in {unit} by "
            f"`units.{ours}`; remove the wrong one"
        )
    return unit


def _joined(table: QTable, settings: JoinedTable, role: Role) -> QTable:
    """Add the columns of a second file to the rows that it knows; the others get NaN or ""."""
    id_name = ID_COLUMNS[role]
    path = Path(settings.path)
    other = _renamed(settings, role, required=())
    shared = (set(table.colnames) & set(other.colnames)) - {id_name}
    if shared:
        raise TableError(
            f"{path}: column {sorted(shared)[0]!r} is in both files; rename one of them with "
            "`columns`"
        )
    ids, other_ids = integers(table, id_name), integers(other, id_name)
    order = np.argsort(other_ids)
    place = np.searchsorted(other_ids[order], ids)
    row = order[np.minimum(place, len(order) - 1)]
    known = other_ids[row] == ids
    if not known.any():
        raise TableError(
            f"{path}: none of its {len(other)} ids is in the first file; check `join.columns`"
        )
    for name in other.colnames:
        if name != id_name:
            table[name] = _taken(other[name], row, known)
    return table


def _taken(column: Any, row: np.ndarray, known: np.ndarray) -> Any:
    """Rows of a column, blanked where the star is not known."""
    taken = column[row]
    if taken.dtype.kind in "SU":
        return np.where(known, np.asarray(taken), "")
    taken[~known] = np.nan
    return taken


def read_identifications(
    path: str | Path, astrometry_id: str, extinction_id: str
) -> tuple[np.ndarray, np.ndarray]:
    """Published pairs of ids.

    Parameters
    ----------
    path
        A table in any format.
    astrometry_id, extinction_id
        Names of its two columns.

    Returns
    -------
    Two int64 arrays of one length.

    Raises
    ------
    TableError
        If the file or a column is missing, or an id is missing or repeated.
    """
    path = Path(path)
    table = read_file(path)
    for name in (astrometry_id, extinction_id):
        if name not in table.colnames:
            raise TableError(f"{path}: no column {name!r}; it has: {', '.join(table.colnames)}")
    first, second = (
        exact_ids(path, name, _unmasked(table[name])) for name in (astrometry_id, extinction_id)
    )
    return first, second
