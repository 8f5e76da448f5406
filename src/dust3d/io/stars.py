"""From star tables to the arrays that a fit sees."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from dust3d.coords import cartesian_kpc
from dust3d.errors import TableError
from dust3d.io.tables import read_table
from dust3d.observations import Observations

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
    table = read_table(path, columns=list(COLUMNS))
    coords = SkyCoord(l=table["l"], b=table["b"], distance=table["distance"], frame="galactic")
    positions = cartesian_kpc(coords)[:, : len(half_widths)]
    extinction = table["extinction"].to_value(u.mag)
    sigma = table["extinction_error"].to_value(u.mag)
    names = np.asarray(table["class"], dtype=str)
    known = tuple(class_names) if class_names is not None else tuple(sorted(set(names)))
    bad = {
        "values that are not finite": ~np.isfinite(positions).all(axis=1)
        | ~np.isfinite(extinction)
        | ~np.isfinite(sigma),
        "errors of extinction that are not positive": ~(sigma > 0),
        "no distance from the Sun": ~(np.linalg.norm(positions, axis=1) > 0),
        "places outside the box": (np.abs(positions) > np.asarray(half_widths)).any(axis=1),
        f"a class other than {', '.join(known)}": ~np.isin(names, known),
    }
    for what, rows in bad.items():
        if rows.any():
            raise TableError(
                f"{path}: {rows.sum()} of {len(rows)} stars have {what}, the first in row "
                f"{rows.argmax()}; select the stars again"
            )
    return Observations(
        positions,
        np.asarray(extinction, dtype=np.float64),
        np.asarray(sigma, dtype=np.float64),
        np.asarray([known.index(name) for name in names], dtype=np.int64),
        known,
    )


def read_split(
    train: str | Path, heldout: str | Path, half_widths: Sequence[float]
) -> tuple[Observations, Observations]:
    """Training and held-out stars, whose classes are numbered alike.

    A class may have all its stars on one side: a single hot star, for instance.
    """
    tables = [read_table(path, columns=["class"]) for path in (train, heldout)]
    names = sorted({str(name) for table in tables for name in table["class"]})
    first, second = (read_observations(path, half_widths, names) for path in (train, heldout))
    return first, second
