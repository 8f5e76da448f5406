"""Checks of a star table's contents, each with the file, the column, the rows and the remedy."""

from pathlib import Path

import numpy as np

from dust3d.errors import TableError

LARGEST_EXACT_FLOAT = 2**53
EPOCH_TOLERANCE_YR = 0.01
LARGEST: dict[str, float] = {
    "extinction": 50.0,
    "extinction_error": 50.0,
    # no star is nearer than a parsec, and none moves faster than Barnard's
    "parallax": 1e3,
    "pmra": 2e4,
    "pmdec": 2e4,
    "b_v": 20.0,
}
"""In our units, beyond every star that is seen at all: no cut, but the mark of a missing value."""
_NINES = tuple(n + tail for n in (999.0, 9999.0, 99999.0) for tail in (0.0, 0.9, 0.99))
_SENTINELS: dict[str, dict[int, tuple[float, ...]]] = {
    "parallax": {1: (*_NINES, *(-nines for nines in _NINES)), 3: (-99.0, -99.9, -99.99)},
    "pmra": {2: (*_NINES, *(-nines for nines in _NINES))},
    "pmdec": {2: (*_NINES, *(-nines for nines in _NINES))},
    "extinction": {2: (-9.0, -9.9, -9.99, -9.999)},
}
"""Numbers that stand for a missing value, by how often they must appear to be none by chance."""


def _rows(bad: np.ndarray) -> str:
    """`3 of 100 rows, the first: 4, 17, 30`; rows count from 1."""
    first = ", ".join(str(row + 1) for row in np.flatnonzero(bad)[:3])
    return f"{int(bad.sum())} of {len(bad)} rows, the first: {first}"


def exact_ids(path: Path, name: str, ids: np.ndarray) -> np.ndarray:
    """Ids as int64.

    Parameters
    ----------
    path, name
        File and column, for the message.
    ids
        Integers, digits, or floats that hold an integer exactly.

    Raises
    ------
    TableError
        If an id is missing, is no integer, or may have been rounded; or two rows share one.
    """
    ids = np.asarray(ids)
    if ids.dtype.kind in "SU":
        try:
            ids = ids.astype(np.int64)
        except ValueError as error:
            raise TableError(
                f"{path}: column {name!r} holds no integers ({error}); map another column, or "
                "repair these rows"
            ) from error
    elif ids.dtype.kind == "f":
        wrong = ~(np.abs(ids) < LARGEST_EXACT_FLOAT) | (ids != np.round(ids))
        if wrong.any():
            raise TableError(
                f"{path}: column {name!r} holds floats that are missing, no integers, or above "
                f"2^53 and so perhaps rounded ({_rows(wrong)}); remove rows without an id and "
                "export the ids as 64-bit integers"
            )
    elif ids.dtype.kind not in "iu":
        raise TableError(f"{path}: column {name!r} holds {ids.dtype}; ids must be integers")
    ids = ids.astype(np.int64)
    _, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
    repeated = counts[inverse] > 1
    if repeated.any():
        raise TableError(
            f"{path}: column {name!r}: ids must be unique, but {_rows(repeated)} share theirs "
            f"(id {ids[repeated][0]}); keep one row of each"
        )
    return ids


def check_positions(path: Path, ra_deg: np.ndarray, dec_deg: np.ndarray) -> None:
    """Refuse positions that are missing or not on the sky.

    Raises
    ------
    TableError
        With the column, the count and the first rows.
    """
    for name, angle, low, high in (("ra", ra_deg, 0.0, 360.0), ("dec", dec_deg, -90.0, 90.0)):
        missing = ~np.isfinite(angle)
        if missing.any():
            raise TableError(
                f"{path}: column {name!r} is NaN or infinite in {_rows(missing)}; a star without "
                "a position cannot be used: remove these rows"
            )
        outside = (angle < low) | (angle > high)
        if outside.any():
            raise TableError(
                f"{path}: column {name!r} is outside {low:g} to {high:g} deg in {_rows(outside)} "
                f"({name} = {angle[outside][0]:g} deg); check the column and its unit "
                f"(`units.{name}`)"
            )


def check_parallaxes(path: Path, parallax_mas: np.ndarray, error_mas: np.ndarray) -> None:
    """Refuse parallaxes that no star can have; negative and missing ones are left in.

    Raises
    ------
    TableError
        If all are missing, one is infinite (a star at the Sun), or an error is not positive.
    """
    if np.isnan(parallax_mas).all():
        raise TableError(
            f"{path}: column 'parallax' is NaN in all {len(parallax_mas)} rows; check the file"
        )
    at_sun = np.isinf(parallax_mas)
    if at_sun.any():
        raise TableError(
            f"{path}: column 'parallax' is infinite in {_rows(at_sun)}, a star at the Sun; remove "
            "these rows"
        )
    wrong = ~np.isnan(parallax_mas) & ~(error_mas > 0)
    if wrong.any():
        raise TableError(
            f"{path}: column 'parallax_error' is not positive where there is a parallax, in "
            f"{_rows(wrong)}; give each parallax its error, or set the parallax to NaN"
        )


def check_sentinels(path: Path, ours: str, name: str, values: np.ndarray) -> None:
    """Refuse numbers that stand for a missing value.

    Parameters
    ----------
    path, name
        File and column, for the message.
    ours
        Our name of the column, which tells what values it can have.
    values
        As in the file, before any conversion of units.

    Raises
    ------
    TableError
        With the column, the number, the count and the first rows.
    """
    for fewest, numbers in _SENTINELS.get(ours, {}).items():
        for number in numbers:
            # a number of single precision is not quite what was written
            same = np.isclose(values, number, rtol=1e-7, atol=0.0)
            if same.sum() >= fewest:
                raise TableError(
                    f"{path}: column {name!r} is {number:g} in {_rows(same)}, which looks like a "
                    "mark of missing values; set missing values to NaN"
                )


def check_sizes(path: Path, name: str, values: np.ndarray, unit: str) -> None:
    """Refuse values that no visible star has; any sign is left in.

    Parameters
    ----------
    path, name
        File and our column, for the message.
    values
        In our unit.
    unit
        That unit, for the message.

    Raises
    ------
    TableError
        With the column, the count and the first rows.
    """
    largest = LARGEST.get(name, np.inf)
    wrong = np.abs(values) > largest
    if wrong.any():
        raise TableError(
            f"{path}: column {name!r} is beyond +-{largest:g} {unit} in {_rows(wrong)} (such as "
            f"{values[wrong][0]:g} {unit}), which looks like a mark of missing values or a wrong "
            f"unit; set missing values to NaN, or correct `units.{name}`"
        )


def check_errors(path: Path, name: str, error: np.ndarray) -> None:
    """Refuse negative errors.

    Raises
    ------
    TableError
        With the column, the count and the first rows.
    """
    negative = error < 0
    if negative.any():
        raise TableError(
            f"{path}: column {name!r} is negative in {_rows(negative)}; an error is not below "
            "zero: set unknown ones to NaN"
        )


def check_epoch(path: Path, ref_epoch_yr: np.ndarray, epoch_yr: float) -> None:
    """Refuse an epoch in the configuration that the file itself contradicts.

    Raises
    ------
    TableError
        With both epochs, the count and the first rows.
    """
    other = np.abs(ref_epoch_yr - epoch_yr) > EPOCH_TOLERANCE_YR
    if other.any():
        raise TableError(
            f"{path}: column 'ref_epoch' says {ref_epoch_yr[other][0]:g} in {_rows(other)}, but "
            f"`epoch_yr` is {epoch_yr:g}; set it to the epoch of the positions"
        )
