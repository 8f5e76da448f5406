"""The two catalogues that see a mock's stars, and the truth about their rows.

Errors, incompleteness, missing motions, duplicates, companions and spurious rows
make the two something that must really be cross-matched.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from astropy import units as u
from astropy.table import QTable

from dust3d.config.mock import Mock
from dust3d.errors import ConfigError
from dust3d.keys import generator_for
from dust3d.mock.motion import displaced, longitude_latitude
from dust3d.mock.stars import TrueStars

NOBODY = -1
"""The id in the truth of a star that a catalogue does not hold."""

_MAGNITUDE_ERROR = 0.01
_COMPANION_FAINTER_MAG = (0.5, 4.0)


@dataclass(frozen=True)
class Sky:
    """What is observed, and what is true.

    Attributes
    ----------
    astrometry
        The first catalogue: `source_id`, position, proper motion (NaN where missing),
        parallax, magnitude.
    extinction
        The second catalogue: `extinction_id`, position, extinction, class, magnitude.
    truth
        One row for each pair of ids that are one star, for each star that only one of
        the catalogues holds, and for each companion. A star that the second catalogue
        lists twice has two rows: either of its ids is right.
    """

    astrometry: QTable
    extinction: QTable
    truth: QTable


class _Kind(IntEnum):
    """What a row shows: a star, the same star again or its companion, or nothing."""

    STAR = 0
    SECOND = 1
    SPURIOUS = 2


@dataclass(frozen=True)
class _Rows:
    """Rows of a catalogue: what they show, of which star, where, and other columns."""

    ids: np.ndarray
    kind: np.ndarray
    star: np.ndarray
    directions: np.ndarray
    columns: dict[str, np.ndarray | u.Quantity]

    def table(self, id_name: str, epoch_yr: float) -> QTable:
        ra, dec = longitude_latitude(self.directions)
        table = QTable(
            {id_name: self.ids, "ra": ra * u.deg, "dec": dec * u.deg, **self.columns},
            meta={"epoch_yr": epoch_yr},
        )
        # ids are random, so their order tells nothing about pairs
        table.sort(id_name)
        return table

    def of_kind(self, kind: _Kind) -> tuple[np.ndarray, np.ndarray]:
        """Ids and stars of the rows of one kind."""
        rows = self.kind == kind
        return self.ids[rows], self.star[rows]


def observe(stars: TrueStars, mock: Mock, seed: int) -> Sky:
    """Two catalogues of the stars, and the truth.

    Parameters
    ----------
    stars
        The true stars.
    mock
        Errors of measurement and what the catalogues miss, double and invent.
    seed
        The run's seed.

    Raises
    ------
    ConfigError
        If one of the catalogues is left without a star.
    """
    astrometry = _astrometry(stars, mock, seed)
    extinction = _extinctions(stars, mock, seed)
    return Sky(
        astrometry.table("source_id", mock.catalogues.astrometry_epoch_yr),
        extinction.table("extinction_id", mock.catalogues.extinction_epoch_yr),
        _truth(stars, astrometry, extinction),
    )


def _astrometry(stars: TrueStars, mock: Mock, seed: int) -> _Rows:
    """The first catalogue; companions are rows of their own."""
    settings, errors = mock.catalogues, mock.astrometry
    seen = _seen(len(stars), settings.astrometry_completeness, seed, "first")
    rng = generator_for(seed, "mock: companions")
    doubles = np.flatnonzero(rng.uniform(0, 1, len(stars)) < settings.double_fraction)
    separation = 1e3 * rng.uniform(*settings.double_separation_arcsec, len(doubles))
    angle = rng.uniform(0, 2 * np.pi, len(doubles))
    fainter = rng.uniform(*_COMPANION_FAINTER_MAG, len(doubles))

    rows = np.concatenate([seen, doubles])
    companion = np.arange(len(rows)) >= len(seen)
    offset = np.zeros((len(rows), 2))
    offset[companion] = separation[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    offset += errors.position_error_mas * _normal(seed, "mock: positions, first", offset.shape)

    motion_error = _normal(seed, "mock: proper motions, first", offset.shape)
    motion = stars.proper_motion[rows] + errors.proper_motion_error_mas_per_yr * motion_error
    lost = generator_for(seed, "mock: missing motions").uniform(0, 1, len(rows))
    motion[lost < settings.missing_proper_motion_fraction] = np.nan

    parallax = 1 / stars.distance[rows] + errors.parallax_zero_point_mas
    parallax_error = np.full(len(rows), errors.parallax_error_mas)
    if stars.parallax_error is not None:
        parallax_error = stars.parallax_error[rows]
    parallax += parallax_error * _normal(seed, "mock: parallaxes", len(rows))
    magnitude = stars.magnitude[rows]
    magnitude[companion] += fainter
    magnitude += _MAGNITUDE_ERROR * _normal(seed, "mock: magnitudes, first", len(rows))
    columns = {
        "pmra": motion[:, 0] * (u.mas / u.yr),
        "pmdec": motion[:, 1] * (u.mas / u.yr),
        "parallax": parallax * u.mas,
        "parallax_error": parallax_error * u.mas,
        "phot_g_mean_mag": magnitude * u.mag,
    }
    places = displaced(stars.only(rows).unit_vectors(), offset)
    return _rows(rows, companion, places, columns, settings.spurious_fraction, seed, "first")


def _extinctions(stars: TrueStars, mock: Mock, seed: int) -> _Rows:
    """The second catalogue; a repeated star has everything measured anew."""
    settings, errors = mock.catalogues, mock.extinction
    seen = _seen(len(stars), settings.extinction_completeness, seed, "second")
    rng = generator_for(seed, "mock: duplicates")
    twice = seen[rng.uniform(0, 1, len(seen)) < settings.duplicate_fraction]
    rows = np.concatenate([seen, twice])

    years = settings.extinction_epoch_yr - settings.astrometry_epoch_yr
    position_error = _normal(seed, "mock: positions, second", (len(rows), 2))
    offset = stars.proper_motion[rows] * years
    offset = offset + mock.astrometry.second_position_error_mas * position_error
    extinction = stars.extinction[rows] + stars.zero_point[rows] + stars.excess[rows]
    noise = np.full(len(rows), errors.noise_mag)
    if stars.extinction_error is not None:
        noise = errors.understatement * stars.extinction_error[rows]
    extinction = extinction + noise * _normal(seed, "mock: noise", len(rows))
    magnitude_error = _normal(seed, "mock: magnitudes, second", len(rows))
    columns = {
        "extinction": extinction * u.mag,
        "extinction_error": noise / errors.understatement * u.mag,
        "v_mag": (stars.magnitude[rows] + _MAGNITUDE_ERROR * magnitude_error) * u.mag,
        "class": stars.star_class[rows],
    }
    places = displaced(stars.only(rows).unit_vectors(), offset)
    again = np.arange(len(rows)) >= len(seen)
    return _rows(rows, again, places, columns, settings.spurious_fraction, seed, "second")


def _truth(stars: TrueStars, astrometry: _Rows, extinction: _Rows) -> QTable:
    source_id = np.full(len(stars), NOBODY)
    extinction_id = np.full(len(stars), NOBODY)
    for ids, rows in ((source_id, astrometry), (extinction_id, extinction)):
        found, star = rows.of_kind(_Kind.STAR)
        ids[star] = found
    known = np.flatnonzero((source_id != NOBODY) | (extinction_id != NOBODY))
    duplicate_id, again = extinction.of_kind(_Kind.SECOND)
    companion_id, beside = astrometry.of_kind(_Kind.SECOND)

    rows = np.concatenate([known, again, beside])
    seen = stars.only(rows)
    longitude, latitude = longitude_latitude(seen.position_in_space())
    nobody = np.full(len(beside), NOBODY)
    return QTable(
        {
            "source_id": np.concatenate([source_id[known], source_id[again], companion_id]),
            "extinction_id": np.concatenate([extinction_id[known], duplicate_id, nobody]),
            "distance": seen.distance * u.kpc,
            "extinction": seen.extinction * u.mag,
            "l": longitude * u.deg,
            "b": latitude * u.deg,
            "class": seen.star_class,
            "outlier": seen.excess > 0,
        }
    )


def _rows(
    star: np.ndarray,
    second: np.ndarray,
    places: np.ndarray,
    columns: dict[str, np.ndarray | u.Quantity],
    spurious: float,
    seed: int,
    which: str,
) -> _Rows:
    """Rows with ids, and spurious ones among them.

    A spurious row has the values of another row at a random place of the sky.
    """
    rng = generator_for(seed, f"mock: spurious rows, {which}")
    n = round(spurious * len(star))
    borrowed = rng.integers(0, len(star), n)
    random_places = rng.standard_normal((n, 3))
    random_places /= np.linalg.norm(random_places, axis=1, keepdims=True)
    return _Rows(
        ids=_ids(len(star) + n, seed, which),
        kind=np.concatenate([np.where(second, _Kind.SECOND, _Kind.STAR), [_Kind.SPURIOUS] * n]),
        star=np.concatenate([star, np.full(n, NOBODY)]),
        directions=np.concatenate([places, random_places]),
        columns={name: np.concatenate([c, c[borrowed]]) for name, c in columns.items()},
    )


def _seen(number: int, completeness: float, seed: int, which: str) -> np.ndarray:
    """Rows of the stars that a catalogue holds."""
    rng = generator_for(seed, f"mock: completeness, {which}")
    seen = np.flatnonzero(rng.uniform(0, 1, number) < completeness)
    if len(seen) == 0:
        name = {"first": "astrometry", "second": "extinction"}[which]
        raise ConfigError(
            f"mock.catalogues.{name}_completeness = {completeness:g} leaves none of {number} "
            "stars in that catalogue; raise it, or mock.stars.number"
        )
    return seen


def _ids(number: int, seed: int, which: str) -> np.ndarray:
    """Different random ids, in random order."""
    rng = generator_for(seed, f"mock: ids, {which}")
    ids = np.unique(rng.integers(1, 2**62, number))
    while len(ids) < number:
        ids = np.union1d(ids, rng.integers(1, 2**62, number - len(ids)))
    return rng.permutation(ids)


def _normal(seed: int, purpose: str, shape: int | tuple[int, ...]) -> np.ndarray:
    return generator_for(seed, purpose).standard_normal(shape)
