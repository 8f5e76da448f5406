"""Stars of a mock that stand where a table has them."""

from dataclasses import dataclass

import numpy as np

from dust3d.config.base import Box
from dust3d.config.mock import TableStars
from dust3d.coords import directions
from dust3d.errors import ConfigError
from dust3d.io.tables import in_unit, read_table, texts
from dust3d.keys import generator_for
from dust3d.progress import logger

_COLUMNS = (
    "l",
    "b",
    "distance",
    "parallax_error",
    "extinction",
    "extinction_error",
    "class",
    "phot_g_mean_mag",
)


@dataclass(frozen=True)
class TabledStars:
    """What a mock takes over from real stars; arrays of n rows.

    Attributes
    ----------
    position
        Heliocentric Galactic [kpc], shape (n, 3).
    star_class
        Names of classes.
    absolute_magnitude
        Without the extinction that the table states [mag].
    parallax_error, extinction_error
        Stated errors [mas, mag].
    """

    position: np.ndarray
    star_class: np.ndarray
    absolute_magnitude: np.ndarray
    parallax_error: np.ndarray
    extinction_error: np.ndarray


def read_stars(placement: TableStars, box: Box, number: int | None, seed: int) -> TabledStars:
    """Stars of tables, one table after the other.

    Parameters
    ----------
    placement
        The tables, and the part of the box that may hold stars.
    box
        The box of the map, in three dimensions.
    number
        At most so many, chosen at random; none: all.
    seed
        The run's seed.

    Raises
    ------
    TableError
        If a table is missing or damaged, or lacks a column.
    ConfigError
        If none of the stars is inside, or a zero point is for a class that none has.
    """
    tables = [read_table(path, _COLUMNS) for path in placement.paths]

    def column(name: str, unit: str) -> np.ndarray:
        return np.concatenate([in_unit(table, name, unit) for table in tables])

    star_class = np.concatenate([texts(table, "class") for table in tables])
    distance = column("distance", "kpc")
    position = directions(column("l", "deg"), column("b", "deg")) * distance[:, None]
    modulus = 5 * np.log10(distance) + 10
    brightness = column("phot_g_mean_mag", "mag") - modulus - column("extinction", "mag")
    # the brightest stars have no magnitude in the catalogue, and no limit could remove them
    brightness = np.where(np.isfinite(brightness), brightness, np.nanmedian(brightness))
    rows = _rows_inside(position, placement, box, number, seed)
    _check_classes(placement, star_class)
    return TabledStars(
        position[rows],
        star_class[rows],
        brightness[rows],
        column("parallax_error", "mas")[rows],
        column("extinction_error", "mag")[rows],
    )


def _rows_inside(
    position: np.ndarray, placement: TableStars, box: Box, number: int | None, seed: int
) -> np.ndarray:
    reach = placement.extent * np.asarray(box.half_widths_kpc)
    rows = np.flatnonzero((np.abs(position) <= reach).all(axis=1))
    if len(rows) == 0:
        raise ConfigError(
            f"mock.stars.placement: none of {len(position)} stars of {', '.join(placement.paths)} "
            f"is within {reach.tolist()} kpc; raise box.half_widths_kpc"
        )
    if len(rows) < len(position):
        logger.info("%d of %d stars of the tables are inside", len(rows), len(position))
    if number is not None and number < len(rows):
        rng = generator_for(seed, "mock: stars of the table")
        rows = np.sort(rng.choice(rows, number, replace=False))
    return rows


def _check_classes(placement: TableStars, star_class: np.ndarray) -> None:
    known = sorted(set(star_class.tolist()))
    for name in placement.zero_points_mag:
        if name not in known:
            raise ConfigError(
                f"mock.stars.placement.zero_points_mag: no star of the tables is of class "
                f"{name!r}; they have {', '.join(known)}"
            )
