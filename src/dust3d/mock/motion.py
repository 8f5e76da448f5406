"""Proper motion and small offsets on the sky, exact at any declination."""

import numpy as np

_RAD_PER_MAS = np.pi / (180 * 3600 * 1000)


def local_axes(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors to the east and to the north at directions of shape (n, 3)."""
    ra = np.arctan2(directions[:, 1], directions[:, 0])
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=1)
    return east, np.cross(directions, east)


def displaced(directions: np.ndarray, offsets_mas: np.ndarray) -> np.ndarray:
    """Directions after offsets in the tangent plane, projected back to the sphere.

    A star without radial velocity moves along a straight line in space; with its
    distance as the unit that line is u + mu t, so this is the exact motion
    (and that of `SkyCoord.apply_space_motion`) for offsets mu t.

    Parameters
    ----------
    directions
        Unit vectors, shape (n, 3).
    offsets_mas
        East (in alpha cos delta) and north [mas], shape (n, 2).
    """
    east, north = local_axes(directions)
    offset = offsets_mas * _RAD_PER_MAS
    moved = directions + offset[:, :1] * east + offset[:, 1:] * north
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


def longitude_latitude(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitude in [0, 360) and latitude [deg] of vectors of any length, shape (n, 3)."""
    x, y, z = vectors.T
    return np.rad2deg(np.arctan2(y, x)) % 360, np.rad2deg(np.arctan2(z, np.hypot(x, y)))
