"""Directions, pixels and the ends of columns."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix

from dust3d.coords import cartesian_kpc
from dust3d.scores.sky import column_ends, sky_directions, sky_pixels


@pytest.mark.parametrize("ndim", [2, 3])
def test_directions_are_unit_vectors_all_over(ndim):
    rays = sky_directions(ndim)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=1), 1)
    np.testing.assert_allclose(rays.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.mean(rays**2, axis=0), 1 / ndim, rtol=1e-3)


def test_pixels_are_those_of_the_sky_coordinates():
    generator = np.random.default_rng(0)
    lon, lat = generator.uniform(0, 360, 200) * u.deg, generator.uniform(-90, 90, 200) * u.deg
    distance = generator.uniform(0.1, 1, 200) * u.kpc
    coords = SkyCoord(l=lon, b=lat, distance=distance, frame="galactic")
    positions = cartesian_kpc(coords)
    np.testing.assert_array_equal(sky_pixels(positions, 4), HEALPix(4).lonlat_to_healpix(lon, lat))
    flat = np.column_stack([positions[:, :2], np.zeros(200)])
    np.testing.assert_array_equal(sky_pixels(flat[:, :2], 4), sky_pixels(flat, 4))


def test_columns_end_at_the_first_face_or_the_farthest_star():
    half, rays = (1.0, 1.0, 0.2), sky_directions(3)
    ends = column_ends(rays, half, 0.8, 0.5)
    length = np.linalg.norm(ends, axis=1)
    assert np.all(np.abs(ends) <= 0.8 * np.asarray(half) + 1e-12)
    assert length.max() == pytest.approx(0.5)
    short = length < 0.5 - 1e-12
    np.testing.assert_allclose(np.abs(ends[short] / (0.8 * np.asarray(half))).max(axis=1), 1)
    straight = column_ends(np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]), half, 0.8, 5.0)
    np.testing.assert_allclose(straight, [[0, 0, 0.16], [0.8, 0, 0]])
