"""From star tables to the arrays that a fit sees."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from dust3d.coords import cartesian_kpc
from dust3d.errors import TableError
from dust3d.io.tables import read_chunks
from dust3d.observations import Observations, joined

COLUMNS = ("l", "b", "distance", "extinction", "extinction_error", "class")


def read_observations(
    path: str | Path, half_widths: Sequence[float], class_names: Sequence[str] | None = None
) -> Observations:
    """The stars of a table that was selected for a fit.

    Parameters
    ----------
    path
        `stars/train.h5` or `stars/heldout.h5`.
    half_widths
        Of the box [kpc]; two make a 2-D run in the plane z = 0.
    class_names
        Known classes, so that several tables number them alike; none: those of this table.

    Raises
    ------
    TableError
        If a value is not finite, an error is not positive, a star is at the Sun or
        outside the box, or is of a class that is not known.
    """
    known = tuple(class_names) if class_names is not None else class_names_of([path])
    return joined(list(observation_chunks(path, half_widths, known)))


def class_names_of(paths: Sequence[str | Path]) -> tuple[str, ...]:
    """Names of all classes in some tables, sorted."""
    names: set[str] = set()
    for path in paths:
        for table in read_chunks(path, ["class"]):
            names.update(np.unique(np.asarray(table["class"], dtype=str)).tolist())
    return tuple(sorted(names))


def observation_chunks(
    path: str | Path, half_widths: Sequence[float], class_names: Sequence[str]
) -> Iterator[Observations]:
    """The stars of a table a chunk at a time, in its order; checked as `read_observations` does."""
    first = 0
    for table in read_chunks(path, COLUMNS):
        yield _observations(table, path, first, half_widths, tuple(class_names))
        first += len(table)


def _observations(
    table: QTable,
    path: str | Path,
    first: int,
    half_widths: Sequence[float],
    known: tuple[str, ...],
) -> Observations:
    """The stars of a chunk that begins at row `first`."""
    coords = SkyCoord(l=table["l"], b=table["b"], distance=table["distance"], frame="galactic")
    positions = cartesian_kpc(coords)[:, : len(half_widths)]
    extinction = table["extinction"].to_value(u.mag)
    sigma = table["extinction_error"].to_value(u.mag)
    names, inverse = np.unique(np.asarray(table["class"], dtype=str), return_inverse=True)
    number = np.asarray([known.index(n) if n in known else -1 for n in names], dtype=np.int64)
    classes = number[inverse]
    bad = {
        "values that are not finite": ~np.isfinite(positions).all(axis=1)
        | ~np.isfinite(extinction)
        | ~np.isfinite(sigma),
        "errors of extinction that are not positive": ~(sigma > 0),
        "no distance from the Sun": ~(np.linalg.norm(positions, axis=1) > 0),
        "places outside the box": (np.abs(positions) > np.asarray(half_widths)).any(axis=1),
        f"a class other than {', '.join(known)}": classes < 0,
    }
    after = f"after row {first - 1} " if first else ""
    for what, rows in bad.items():
        if rows.any():
            raise TableError(
                f"{path}: {rows.sum()} of {len(rows)} stars {after}have {what}, the first in row "
                f"{first + rows.argmax()}; select the stars again"
            )
    return Observations(
        positions,
        np.asarray(extinction, dtype=np.float64),
        np.asarray(sigma, dtype=np.float64),
        classes,
        known,
    )


def read_split(
    train: str | Path, heldout: str | Path, half_widths: Sequence[float]
) -> tuple[Observations, Observations]:
    """Training and held-out stars, whose classes are numbered alike.

    A class may have all its stars on one side: a single hot star, for instance.
    """
    names = class_names_of([train, heldout])
    first, second = (read_observations(path, half_widths, names) for path in (train, heldout))
    return first, second
