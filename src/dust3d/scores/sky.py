"""Directions all over the sky, and the pixels of it that count as independent."""

from collections.abc import Sequence

import numpy as np
from astropy import units as u
from astropy_healpix import HEALPix

from dust3d.coords import directions

_NSIDE = 16


def sky_directions(ndim: int) -> np.ndarray:
    """Unit vectors all over the sky; along the plane in 2-D."""
    if ndim == 2:
        return directions(np.arange(0.0, 360.0, 2.0), np.zeros(180))[:, :2]
    grid = HEALPix(_NSIDE)
    lon, lat = grid.healpix_to_lonlat(np.arange(int(grid.npix)))
    return directions(np.asarray(lon.to_value(u.deg)), np.asarray(lat.to_value(u.deg)))


def sky_pixels(positions: np.ndarray, nside: int) -> np.ndarray:
    """HEALPix pixel of each position of shape (n, ndim), seen from the Sun."""
    height = positions[:, 2] if positions.shape[1] == 3 else np.zeros(len(positions))
    lon = np.arctan2(positions[:, 1], positions[:, 0])
    lat = np.arctan2(height, np.hypot(positions[:, 0], positions[:, 1]))
    return np.asarray(HEALPix(nside).lonlat_to_healpix(lon * u.rad, lat * u.rad))


def column_ends(
    rays: np.ndarray, half_widths: Sequence[float], fraction: float, reach_kpc: float
) -> np.ndarray:
    """Where rays end: at the faces of the part of the box in use, or at the farthest star.

    Parameters
    ----------
    rays
        Unit vectors, shape (n, ndim).
    half_widths, fraction
        Of the box [kpc], and the part of each that is in use.
    reach_kpc
        Of the stars.
    """
    with np.errstate(divide="ignore"):
        faces = fraction * np.asarray(half_widths) / np.abs(rays)
    return rays * np.minimum(faces.min(axis=1), reach_kpc)[:, None]
