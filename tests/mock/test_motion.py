"""Motion on the sky, against astropy's."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.time import Time

from dust3d.mock.motion import displaced, local_axes, longitude_latitude


def random_directions(n, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((n, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_motion_is_that_of_astropy():
    start = random_directions(50)
    motion = np.random.default_rng(1).normal(0, 2000, (50, 2))
    ra, dec = longitude_latitude(start)
    there = SkyCoord(
        ra * u.deg,
        dec * u.deg,
        distance=10 * u.pc,
        radial_velocity=0 * u.km / u.s,
        pm_ra_cosdec=motion[:, 0] * u.mas / u.yr,
        pm_dec=motion[:, 1] * u.mas / u.yr,
        obstime=Time(2016.0, format="jyear"),
    ).apply_space_motion(new_obstime=Time(1991.25, format="jyear"))
    moved = longitude_latitude(displaced(start, -24.75 * motion))
    ours = SkyCoord(moved[0] * u.deg, moved[1] * u.deg)
    there = SkyCoord(there.ra, there.dec)
    assert np.max(ours.separation(there).to_value(u.mas)) < 0.01


def test_small_motion_is_mu_times_dt_along_each_axis():
    start = random_directions(20)
    east, north = local_axes(start)
    moved = displaced(start, np.tile([30.0, -40.0], (20, 1)))
    step = (moved - start) * (180 / np.pi) * 3.6e6
    np.testing.assert_allclose(np.sum(step * east, axis=1), 30, rtol=1e-6)
    np.testing.assert_allclose(np.sum(step * north, axis=1), -40, rtol=1e-6)


def test_the_poles_are_no_exception():
    moved = displaced(np.array([[0.0, 0, 1], [0, 0, -1]]), np.array([[3.6e6, 0.0], [0.0, 3.6e6]]))
    _, dec = longitude_latitude(moved)
    np.testing.assert_allclose(np.abs(dec), 89.0, atol=2e-4)


def test_coordinates_of_axes():
    ra, dec = longitude_latitude(np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, 1]]))
    assert ra[:2] == pytest.approx([0, 270])
    assert dec == pytest.approx([0, 0, 90])
