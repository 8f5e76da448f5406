import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from dust3d.coords import cartesian_kpc, directions, skycoord
from dust3d.errors import UnitsError


@pytest.mark.parametrize(("longitude", "latitude", "axis"), [(0, 0, 0), (90, 0, 1), (0, 90, 2)])
def test_axes_point_where_the_conventions_say(longitude, latitude, axis):
    star = SkyCoord(l=longitude * u.deg, b=latitude * u.deg, distance=250 * u.pc, frame="galactic")
    np.testing.assert_allclose(cartesian_kpc(star), 0.25 * np.eye(3)[axis], atol=1e-15)


def test_there_and_back_in_any_frame_and_shape():
    rng = np.random.default_rng(3)
    positions = rng.normal(size=(4, 2, 3))
    coords = skycoord(positions)
    assert coords.shape == (4, 2)
    np.testing.assert_allclose(cartesian_kpc(coords.icrs), positions, atol=1e-9)


def test_parsecs_and_kiloparsecs_are_one_length():
    near = SkyCoord(ra=10 * u.deg, dec=20 * u.deg, distance=0.3 * u.kpc)
    same = SkyCoord(ra=10 * u.deg, dec=20 * u.deg, distance=300 * u.pc)
    np.testing.assert_allclose(cartesian_kpc(near), cartesian_kpc(same), rtol=1e-14)


def test_a_direction_without_distance_is_refused():
    with pytest.raises(UnitsError, match="no distance"):
        cartesian_kpc(SkyCoord(ra=10 * u.deg, dec=20 * u.deg))


def test_directions_agree_with_astropy():
    lon, lat = np.array([10.0, 200.0, 359.0]), np.array([-80.0, 5.0, 45.0])
    sky = SkyCoord(l=lon * u.deg, b=lat * u.deg, frame="galactic")
    np.testing.assert_allclose(directions(lon, lat), sky.cartesian.xyz.value.T, atol=1e-14)
    assert directions(np.zeros(1), lat).shape == (3, 3)
