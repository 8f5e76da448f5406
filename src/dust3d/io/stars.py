"""From star tables to the arrays that a fit sees."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from dust3d.coords import cartesian_kpc
from dust3d.distances import DistanceCells, distance_cells
from dust3d.errors import TableError
from dust3d.io.tables import in_unit, read_chunks, read_meta
from dust3d.observations import Observations, joined

COLUMNS = ("l", "b", "distance", "extinction", "extinction_error", "class")
_OF_DISTANCE = ("parallax", "parallax_error")
_PRIOR = ("parallax_zero_point_mas", "distance_scale_kpc")
# rays must not end beyond a face by rounding
_INSIDE = 1 - 1e-12


def read_observations(
    path: str | Path,
    half_widths: Sequence[float],
    class_names: Sequence[str] | None = None,
    cells: int = 1,
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
    cells
        Of each star's distance posterior; 1: the distance is taken as known. Cells beyond the box
        are moved to its face: dust behind it is not known.

    Raises
    ------
    TableError
        If a value is not finite, an error is not positive, a star is at the Sun or
        outside the box, or is of a class that is not known.
    """
    known = tuple(class_names) if class_names is not None else class_names_of([path])
    return joined(list(observation_chunks(path, half_widths, known, cells)))


def class_names_of(paths: Sequence[str | Path]) -> tuple[str, ...]:
    """Names of all classes in some tables, sorted."""
    names: set[str] = set()
    for path in paths:
        for table in read_chunks(path, ["class"]):
            names.update(np.unique(np.asarray(table["class"], dtype=str)).tolist())
    return tuple(sorted(names))


def observation_chunks(
    path: str | Path, half_widths: Sequence[float], class_names: Sequence[str], cells: int = 1
) -> Iterator[Observations]:
    """The stars of a table a chunk at a time, in its order; checked as `read_observations` does."""
    first, prior = 0, _distance_prior(path) if cells > 1 else (0.0, 0.0)
    for table in read_chunks(path, (*COLUMNS, *_OF_DISTANCE) if cells > 1 else COLUMNS):
        stars = _observations(table, path, first, half_widths, tuple(class_names))
        if cells > 1:
            stars = replace(
                stars, cells=_cells(table, path, first, stars, half_widths, prior, cells)
            )
        yield stars
        first += len(table)


def _distance_prior(path: str | Path) -> tuple[float, float]:
    """Zero point of the parallaxes [mas] and length of the distance prior [kpc]."""
    stated = read_meta(path)
    missing = [name for name in _PRIOR if name not in stated]
    if missing:
        raise TableError(
            f"{path}: its meta has no {' and no '.join(missing)}, which the distance posteriors "
            "depend on; select the stars again, or set likelihood.distance_cells: 1"
        )
    return float(stated[_PRIOR[0]]), float(stated[_PRIOR[1]])


def _cells(
    table: QTable,
    path: str | Path,
    first: int,
    stars: Observations,
    half_widths: Sequence[float],
    prior: tuple[float, float],
    cells: int,
) -> DistanceCells:
    """Distance posteriors in cells inside the box."""
    parallax, error = (in_unit(table, name, "mas") for name in _OF_DISTANCE)
    found = distance_cells(parallax - prior[0], error, prior[1], cells)
    bad = np.isnan(found.distance).any(axis=1)
    if bad.any():
        raise TableError(
            f"{path}: {bad.sum()} of {len(table)} stars have no parallax or no error of it, the "
            f"first in row {first + bad.argmax()}; select the stars again, or set "
            "likelihood.distance_cells: 1"
        )
    directions = np.abs(stars.positions) / stars.distances[:, None]
    with np.errstate(divide="ignore"):
        faces = np.min(np.asarray(half_widths) / directions, axis=1)
    return found.within(_INSIDE * faces)


def _observations(
    table: QTable,
    path: str | Path,
    first: int,
    half_widths: Sequence[float],
    known: tuple[str, ...],
) -> Observations:
    """The stars of a chunk that begins at row `first`, at their stated distances."""
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
    train: str | Path, heldout: str | Path, half_widths: Sequence[float], cells: int = 1
) -> tuple[Observations, Observations]:
    """Training and held-out stars, whose classes are numbered alike.

    A class may have all its stars on one side: a single hot star, for instance. `cells` as of
    `read_observations`.
    """
    names = class_names_of([train, heldout])
    first, second = (
        read_observations(path, half_widths, names, cells) for path in (train, heldout)
    )
    return first, second
