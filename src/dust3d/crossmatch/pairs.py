"""Pairs of stars of two catalogues.

One catalogue is moved to the epoch of the other by its proper motions; then a pair is two stars
within a radius, each the other's nearest. A star of unknown motion is searched for in a radius
widened by the motion that it may have.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from erfa import ErfaWarning
from scipy.spatial import cKDTree

from dust3d.config.catalogues import Crossmatch

ROWS_AT_ONCE = 200_000
"""Rows of the first catalogue that are searched together: bounds the memory."""


@dataclass(frozen=True)
class Sky:
    """Positions of a catalogue's n stars at one epoch.

    Attributes
    ----------
    ra, dec
        ICRS [deg], shape (n,).
    pmra, pmdec
        mu_alpha cos(delta) and mu_delta [mas / yr], shape (n,); NaN where unknown.
    epoch_yr
        Julian year.
    """

    ra: np.ndarray
    dec: np.ndarray
    pmra: np.ndarray
    pmdec: np.ndarray
    epoch_yr: float

    @property
    def moves(self) -> np.ndarray:
        """Whether the proper motion is known, shape (n,)."""
        return np.isfinite(self.pmra) & np.isfinite(self.pmdec)

    def at(self, epoch_yr: float) -> np.ndarray:
        """Unit vectors at an epoch, shape (n, 3); stars of unknown motion stay where they are."""
        moves = self.moves
        coords = SkyCoord(
            self.ra * u.deg,
            self.dec * u.deg,
            pm_ra_cosdec=np.where(moves, self.pmra, 0.0) * u.mas / u.yr,
            pm_dec=np.where(moves, self.pmdec, 0.0) * u.mas / u.yr,
        )
        if epoch_yr != self.epoch_yr:
            with warnings.catch_warnings():
                # without distances ERFA puts every star at 10 Mpc and says so; motions on the sky
                # do not depend on it
                warnings.simplefilter("ignore", ErfaWarning)
                coords = coords.apply_space_motion(dt=(epoch_yr - self.epoch_yr) * u.yr)
        return _unit_vectors(coords)

    def shifted(self, position_angle_deg: float, by_deg: float) -> "Sky":
        """The same stars, each displaced by the same angle: no true pair is left."""
        moved = SkyCoord(self.ra * u.deg, self.dec * u.deg).directional_offset_by(
            position_angle_deg * u.deg, by_deg * u.deg
        )
        return Sky(*_ra_dec_deg(moved), self.pmra, self.pmdec, self.epoch_yr)


@dataclass(frozen=True)
class Pairs:
    """Accepted pairs: rows in the first and the second catalogue, separation, ambiguity.

    Attributes
    ----------
    first, second
        Row numbers, shape (n_pairs,), rising in `first`; no row appears twice.
    separation
        At the common epoch [arcsec].
    ambiguous
        Whether another star could be meant.
    """

    first: np.ndarray
    second: np.ndarray
    separation: np.ndarray
    ambiguous: np.ndarray


@dataclass(frozen=True)
class _Candidates:
    first: np.ndarray
    second: np.ndarray
    separation: np.ndarray


def match(first: Sky, second: Sky, settings: Crossmatch) -> Pairs:
    """Pair the stars of two catalogues: mutual nearest neighbours within a radius.

    Parameters
    ----------
    first, second
        The catalogues. The motions of the first count where it has them, else the second's.
    settings
        Radius, widening for missing motions, what counts as ambiguous.

    Returns
    -------
    The pairs, ambiguous ones included and flagged: another star of either catalogue lies inside
    the radius and within `ambiguity_ratio` times the separation.
    """
    found = _candidates(first, second, settings)
    best_of_first, rival_of_first = _best(found.first, found.separation)
    best_of_second, rival_of_second = _best(found.second, found.separation)
    mutual = best_of_first & best_of_second
    limit = settings.ambiguity_ratio * found.separation
    ambiguous = np.minimum(rival_of_first, rival_of_second) <= limit
    chosen = np.flatnonzero(mutual)
    chosen = chosen[np.argsort(found.first[chosen], kind="stable")]
    return Pairs(
        found.first[chosen], found.second[chosen], found.separation[chosen], ambiguous[chosen]
    )


def _candidates(first: Sky, second: Sky, settings: Crossmatch) -> _Candidates:
    """All pairs of stars close enough, by the best motion known for each."""
    radius = settings.radius_arcsec
    years = abs(second.epoch_yr - first.epoch_yr)
    widened = radius + settings.missing_motion_mas_per_yr * years / 1e3
    moving, other_moving = np.flatnonzero(first.moves), np.flatnonzero(second.moves)
    still, other_still = np.flatnonzero(~first.moves), np.flatnonzero(~second.moves)
    everyone = np.arange(len(second.ra))
    here, there = first.at(first.epoch_yr), second.at(second.epoch_yr)
    searches = [
        _within(first.at(second.epoch_yr), moving, there, everyone, radius),
        _within(here, still, second.at(first.epoch_yr), other_moving, radius),
        _within(here, still, there, other_still, widened),
    ]
    return _Candidates(
        *(
            np.concatenate([getattr(search, name) for search in searches])
            for name in ("first", "second", "separation")
        )
    )


def _within(
    vectors: np.ndarray,
    rows: np.ndarray,
    other_vectors: np.ndarray,
    other_rows: np.ndarray,
    radius_arcsec: float,
) -> _Candidates:
    """Pairs within a radius among the given rows, in bands of declination."""
    chord = 2 * np.sin(np.deg2rad(radius_arcsec / 3600) / 2)
    rows = rows[np.argsort(vectors[rows, 2])]
    other_rows = other_rows[np.argsort(other_vectors[other_rows, 2])]
    heights = other_vectors[other_rows, 2]
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        band = rows[start : start + ROWS_AT_ONCE]
        low, high = vectors[band[[0, -1]], 2]
        near = other_rows[
            np.searchsorted(heights, low - chord) : np.searchsorted(heights, high + chord, "right")
        ]
        tree, other_tree = cKDTree(vectors[band]), cKDTree(other_vectors[near])
        close = tree.sparse_distance_matrix(other_tree, chord, output_type="ndarray")
        angle = np.rad2deg(2 * np.arcsin(np.minimum(close["v"] / 2, 1.0))) * 3600
        parts.append((band[close["i"]], near[close["j"]], angle))
    if not parts:
        return _Candidates(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    first, second, separation = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return _Candidates(first, second, separation)


def _best(owner: np.ndarray, separation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each candidate: is it its owner's nearest, and how far is the owner's next one [arcsec].

    The next one is the nearest of the others for the nearest, infinite if there is none.
    """
    order = np.lexsort((separation, owner))
    sorted_owner, sorted_separation = owner[order], separation[order]
    starts = np.ones(len(order), bool)
    starts[1:] = sorted_owner[1:] != sorted_owner[:-1]
    rival = np.full(len(order), np.inf)
    followed = np.flatnonzero(~starts[1:])
    rival[followed] = sorted_separation[followed + 1]
    best, next_one = np.empty(len(order), bool), np.empty(len(order))
    best[order], next_one[order] = starts, rival
    return best, next_one


def _ra_dec_deg(coords: SkyCoord) -> tuple[np.ndarray, np.ndarray]:
    position: Any = coords
    return position.ra.deg, position.dec.deg


def _unit_vectors(coords: SkyCoord) -> np.ndarray:
    ra, dec = (np.deg2rad(angle) for angle in _ra_dec_deg(coords))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)
