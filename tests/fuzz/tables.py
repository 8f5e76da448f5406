"""Catalogues that are whole files with wrong content."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from astropy.table import Column, Table
from tests.fuzz.products import table, write_catalogue

Change = Callable[[Table], Table]


def _without(name: str) -> Change:
    return lambda stars: stars[[n for n in stars.colnames if n != name]]


def _unit(name: str, unit: str | None) -> Change:
    def change(stars: Table) -> Table:
        stars[name].unit = unit
        return stars

    return change


def _value(name: str, value: float, rows: slice = slice(3, 4)) -> Change:
    def change(stars: Table) -> Table:
        stars[name][rows] = value
        return stars

    return change


def _column(name: str, make: Callable[[np.ndarray], np.ndarray]) -> Change:
    def change(stars: Table) -> Table:
        stars[name] = Column(make(np.asarray(stars[name])), unit=stars[name].unit)
        return stars

    return change


def _renamed(name: str, other: str) -> Change:
    def change(stars: Table) -> Table:
        stars.rename_column(name, other)
        return stars

    return change


def _added(name: str, like: str) -> Change:
    def change(stars: Table) -> Table:
        stars[name] = stars[like]
        return stars

    return change


ALL = slice(None)
REFUSED: dict[str, Change] = {
    **{f"no {name}": _without(name) for name in ("source_id", "ra", "dec")},
    "a reddening": _renamed("extinction", "E(B-V)"),
    "a reddening beside": lambda t: _without("extinction")(_added("E_B_V", "extinction")(t)),
    "two positions": lambda t: _renamed("ra", "RAdeg")(_added("RA_ICRS", "ra")(t)),
    "no unit": _unit("ra", None),
    "a distance for an angle": _unit("dec", "kpc"),
    "an angle for a distance": _unit("parallax", "kpc"),
    "a unit a million times larger": _unit("parallax", "deg"),
    "no unit of extinction": _unit("extinction", None),
    "extinction in Jy": _unit("extinction", "Jy"),
    "motion without time": _unit("pmra", "mas"),
    "parallax of 1e300": _value("parallax", 1e300),
    "parallax of -1e300": _value("parallax", -1e300),
    "parallax infinite": _value("parallax", np.inf),
    "parallax of -999": _value("parallax", -999.0, ALL),
    "parallax NaN everywhere": _value("parallax", np.nan, ALL),
    "parallax error negative": _value("parallax_error", -1.0),
    "parallax error 0": _value("parallax_error", 0.0),
    "parallax error NaN": _value("parallax_error", np.nan),
    "ra of 1e300": _value("ra", 1e300),
    "ra of -1": _value("ra", -1.0),
    "ra NaN everywhere": _value("ra", np.nan, ALL),
    "dec of 91": _value("dec", 91.0),
    "dec infinite": _value("dec", -np.inf),
    "pmra of 1e300": _value("pmra", 1e300),
    "pmdec infinite": _value("pmdec", np.inf),
    "extinction of 1e300": _value("extinction", 1e300),
    "extinction infinite": _value("extinction", -np.inf),
    "extinction of -9.99": _value("extinction", -9.99, ALL),
    "extinction error negative": _value("extinction_error", -0.1),
    "extinction error of 1e300": _value("extinction_error", 1e300),
    "ids repeat": _value("source_id", 2**60),
    "ids as floats": _column("source_id", lambda ids: ids.astype(float)),
    "ids as fractions": _column("source_id", lambda ids: np.arange(len(ids)) + 0.5),
    "ids as words": _column("source_id", lambda ids: np.array([f"HIP {i}" for i in ids])),
    "positions as words": _column("ra", lambda ra: np.array([f"{r:.2f} deg" for r in ra])),
    "positions in sexagesimal": _column("ra", lambda ra: np.full(len(ra), "12:30:49.4")),
    "extinction as logical values": _column("extinction", lambda a: a > 1),
    "two numbers a cell": _column("ra", lambda ra: np.stack([ra, ra], axis=1)),
    "parallaxes complex": _column("parallax", lambda p: p + 1j),
    "no rows": lambda stars: stars[:0],
}
"""None of these can be meant."""

SOUND: dict[str, Change] = {
    "one row": lambda stars: stars[:1],
    "columns in another order": lambda stars: stars[stars.colnames[::-1]],
    "a further column": _added("remark", "class"),
    "negative parallaxes": _value("parallax", -0.5, ALL),
    "negative extinctions": _value("extinction", -0.05, ALL),
    "motions NaN": _value("pmra", np.nan, ALL),
    "single precision": _column("parallax", lambda p: p.astype(np.float32)),
}
"""These are catalogues like others."""

_HOLDS_ANY_TYPE = "stars.ecsv"
_FORMATS = ("plain.fits", "stars.ecsv", "stars.parquet", "stars.vot")


def write_all(into: Path) -> Iterator[tuple[str, Path, bool]]:
    """Name, file, and whether it must be refused."""
    number = 0
    for changes, refused in ((REFUSED, True), (SOUND, False)):
        for name, change in changes.items():
            stars = change(Table(table()))
            special = (
                stars["ra"].ndim > 1
                or any(stars[n].dtype.kind == "c" for n in stars.colnames if n in table().colnames)
                if {"ra"} <= set(stars.colnames)
                else False
            )
            file = _HOLDS_ANY_TYPE if special else _FORMATS[number % len(_FORMATS)]
            place = into / f"table{number}" / file
            place.parent.mkdir(parents=True)
            write_catalogue(place, stars)
            number += 1
            yield name, place, refused


def write_ragged(into: Path) -> Iterator[tuple[str, Path]]:
    """Text files in which one column stands twice, or a row is shorter or longer."""
    for name, separator in (("stars.ecsv", " "), ("stars.csv", ",")):
        whole = into / f"whole-{name}" / name
        whole.parent.mkdir(parents=True)
        # a last column of text may hold commas
        columns = table().colnames[:-1]
        write_catalogue(whole, table()[columns])
        lines = whole.read_text().splitlines()
        start = next(i for i, line in enumerate(lines) if not line.startswith("#"))
        for what in ("twice", "short", "long"):
            spoilt = list(lines)
            row = spoilt[start + 4]
            if what == "twice":
                rows = [line + separator + line.split(separator)[1] for line in lines[start:]]
                spoilt[start:] = rows
            elif what == "short":
                spoilt[start + 4] = row.rpartition(separator)[0]
            else:
                spoilt[start + 4] = row + separator + "1"
            place = into / f"{what}-{name}" / name
            place.parent.mkdir(parents=True)
            place.write_text("\n".join(spoilt) + "\n")
            yield f"{what} {name}", place
