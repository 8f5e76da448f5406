"""From sky coordinates to heliocentric Galactic Cartesian positions, and back.

The only place where astropy coordinates meet the arrays of the package.
"""

from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import CartesianRepresentation, Galactic, SkyCoord

from dust3d.errors import UnitsError


def cartesian_kpc(coords: SkyCoord) -> np.ndarray:
    """Heliocentric Galactic Cartesian positions.

    Parameters
    ----------
    coords
        Any frame that astropy can turn into Galactic, any shape, with distances.

    Returns
    -------
    Positions [kpc], shape `coords.shape + (3,)`.

    Raises
    ------
    UnitsError
        If they are no sky coordinates, or have no distance, or one without a unit.
    """
    if not isinstance(coords, SkyCoord):
        raise UnitsError(
            f"coordinates must be a SkyCoord, not {type(coords).__name__}: numbers alone have no "
            "frame; give SkyCoord(..., distance=0.3 * u.kpc)"
        )
    galactic = coords.transform_to(Galactic())
    distance = galactic.spherical.distance
    if distance.unit == u.dimensionless_unscaled:
        raise UnitsError(
            "the coordinates have no distance with a unit; "
            "give SkyCoord(..., distance=0.3 * u.kpc) or another length"
        )
    cartesian: Any = galactic.cartesian
    xyz = cartesian.xyz.to_value(u.kpc)
    return np.moveaxis(np.asarray(xyz, dtype=np.float64), 0, -1)


def skycoord(positions: np.ndarray) -> SkyCoord:
    """Galactic coordinates with distances of positions [kpc] of shape (..., 3)."""
    xyz = np.moveaxis(np.asarray(positions, dtype=np.float64), -1, 0) * u.kpc
    return SkyCoord(Galactic(CartesianRepresentation(xyz)))


def directions(longitude_deg: np.ndarray, latitude_deg: np.ndarray) -> np.ndarray:
    """Unit vectors, shape (..., 3), towards Galactic longitudes and latitudes [deg]."""
    lon, lat = np.broadcast_arrays(np.deg2rad(longitude_deg), np.deg2rad(latitude_deg))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
