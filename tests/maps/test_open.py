"""Maps that answer at sky coordinates."""

import inspect
import json

import jax.numpy as jnp
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import FK5, SkyCoord
from tests.fields.examples import HALF_WIDTHS, fourier

import dust3d
from dust3d.coords import cartesian_kpc, skycoord
from dust3d.errors import Dust3dError, ProductError, UnitsError
from dust3d.io.fields import save_field
from dust3d.io.maps import write_map
from dust3d.maps.gridding import grid_map
from dust3d.maps.open import open_map
from dust3d.rays.nodes import extinctions

PLACES = np.random.default_rng(9).uniform(-0.9, 0.9, (2, 3, 3)) * np.asarray(HALF_WIDTHS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Fits and maps of the box and of the plane."""
    folder = tmp_path_factory.mktemp("fits")
    for ndim in (2, 3):
        attrs = {"half_widths_kpc": HALF_WIDTHS[:ndim], "estimator": "maximum"}
        save_field(folder / f"{ndim}/field.h5", fourier(ndim), attrs)
        cells = (100, 80, 60)[:ndim]
        fine = grid_map(fourier(ndim), HALF_WIDTHS[:ndim], cells, {"estimator": "maximum"})
        write_map(folder / f"{ndim}.zarr", fine)
    return folder


@pytest.mark.parametrize("frame", ["icrs", FK5(equinox="J1975")])
def test_any_frame_and_shape(folder, frame):
    coords = skycoord(PLACES).transform_to(frame)
    found = dust3d.open_map(folder / "3").extinction(coords)
    exact = extinctions(fourier(), jnp.asarray(PLACES.reshape(-1, 3)), 64)
    assert found.unit == u.mag
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found.value.ravel(), exact, atol=1e-5)
    density = dust3d.open_map(folder / "3").density(coords)
    assert density.unit == u.mag / u.kpc
    expected = np.exp(fourier().at(jnp.asarray(PLACES.reshape(-1, 3))))
    np.testing.assert_allclose(density.value.ravel(), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["3", "3.zarr", "3/field.h5"])
def test_one_place_gives_one_number(folder, name):
    place = SkyCoord(l=30 * u.deg, b=5 * u.deg, distance=400 * u.pc, frame="galactic")
    found = open_map(folder / name).extinction(place)
    assert found.shape == ()
    assert found > 0 * u.mag
    assert open_map(folder / name).extinction(place[None][:0]).shape == (0,)


@pytest.mark.parametrize("name", ["3", "3.zarr"])
def test_nan_outside_the_box_only(folder, name):
    x = np.array([1.99, 2.01, -2.01, 0.0, 0.0, 0.0])
    y = np.array([1.49, 0.0, 0.0, -1.51, 0.0, 0.0])
    z = np.array([-0.99, 0.0, 0.0, 0.0, 1.01, 0.0])
    coords = skycoord(np.stack([x, y, z], axis=-1))
    for quantity in ("extinction", "density"):
        found = open_map(folder / name).query(coords, quantity=quantity)
        assert np.isnan(found.value).tolist() == [False, True, True, True, True, False]


def test_at_the_sun_there_is_no_extinction(folder):
    sun = SkyCoord(l=0 * u.deg, b=0 * u.deg, distance=0 * u.kpc, frame="galactic")
    for name in ("2", "2.zarr", "3", "3.zarr"):
        assert open_map(folder / name).extinction(sun) == 0 * u.mag


@pytest.mark.parametrize("cells", [(100, 80, 60), (41, 31, 21)])
@pytest.mark.parametrize("distance", [1e-4, 0.003, 0.02, 0.1, 0.9])
def test_a_gridded_map_is_right_near_the_sun_and_far(tmp_path, cells, distance):
    field = fourier()
    write_map(tmp_path / "map.zarr", grid_map(field, HALF_WIDTHS, cells, {}))
    directions = np.random.default_rng(4).normal(size=(50, 3))
    places = distance * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    found = open_map(tmp_path / "map.zarr").extinction(skycoord(places))
    exact = extinctions(field, jnp.asarray(places), 64)
    np.testing.assert_allclose(found.value, exact, rtol=0.03)


@pytest.mark.parametrize("ndim", [2, 3])
def test_fit_and_gridded_map_agree(folder, ndim):
    places = np.array(PLACES)
    places[..., ndim:] = 0
    coords = skycoord(places)
    fit, grid = open_map(folder / str(ndim)), open_map(folder / f"{ndim}.zarr")
    assert fit.half_widths == grid.half_widths == HALF_WIDTHS[:ndim]
    np.testing.assert_allclose(grid.extinction(coords), fit.extinction(coords), rtol=0.01)
    np.testing.assert_allclose(grid.density(coords), fit.density(coords), rtol=0.02)


@pytest.mark.parametrize("name", ["2", "2.zarr"])
def test_a_map_of_the_plane_knows_the_plane_only(folder, name):
    off = SkyCoord(l=[30, 30] * u.deg, b=[0, 10] * u.deg, distance=0.4 * u.kpc, frame="galactic")
    assert np.isnan(open_map(folder / name).extinction(off).value).tolist() == [False, True]


@pytest.mark.parametrize(
    ("coords", "words"),
    [
        (SkyCoord(ra=10 * u.deg, dec=20 * u.deg), r"no distance .* distance=0\.3 \* u\.kpc"),
        (SkyCoord(ra=10 * u.deg, dec=20 * u.deg, distance=0.3), "no distance with a unit"),
    ],
)
def test_places_without_distance_or_unit_are_refused(folder, coords, words):
    with pytest.raises(UnitsError, match=words):
        open_map(folder / "3").extinction(coords)


def test_numbers_without_a_frame_are_refused():
    # unwrapped: the tests' own type checks would be faster than ours
    with pytest.raises(UnitsError, match=r"must be a SkyCoord, not list: .*give SkyCoord\("):
        inspect.unwrap(cartesian_kpc)([0.1, 0.2, 0.3])


@pytest.mark.parametrize("wanted", [{"quantity": "reddening"}, {"mode": "best"}])
def test_unknown_questions_are_refused(folder, wanted):
    with pytest.raises(Dust3dError, match="is unknown; use"):
        open_map(folder / "3").query(skycoord(PLACES), **wanted)


def test_questions_to_a_posterior_are_refused_without_one(folder):
    with pytest.raises(Dust3dError, match=r"'std' needs a posterior.* 'maximum'.*mode='mean'"):
        open_map(folder / "3").query(skycoord(PLACES), mode="std")


def test_what_cannot_be_opened(folder, tmp_path):
    with pytest.raises(ProductError, match="no such fit"):
        open_map(tmp_path / "nothing")
    with pytest.raises(ProductError, match="is the fit finished"):
        open_map(tmp_path)
    (tmp_path / "README.md").write_text("# A text of mine")
    with pytest.raises(
        ProductError, match=r"not an HDF5 file; give a fit's .* field\.h5"
    ) as caught:
        open_map(tmp_path / "README.md")
    assert "delete" not in str(caught.value)
    for place in ("", "fits", "fits/fourier-2x2x1"):
        (tmp_path / "run" / place).mkdir(parents=True, exist_ok=True)
    (tmp_path / "run/fits/fourier-2x2x1/field.h5").write_bytes(b"")
    (tmp_path / "run/maps/truth.zarr").mkdir(parents=True)
    with pytest.raises(ProductError, match=r"give one of .*fits/fourier-2x2x1, .*truth\.zarr"):
        open_map(tmp_path / "run")
    with pytest.raises(ProductError, match=r"give one of .*fits/fourier-2x2x1$"):
        open_map(tmp_path / "run/fits")
    with pytest.raises(ProductError, match=r"damaged or cut short .*run again"):
        open_map(tmp_path / "run/fits/fourier-2x2x1")
    save_field(tmp_path / "field.h5", fourier(), {})
    with pytest.raises(ProductError, match="how large its box is; make it again"):
        open_map(tmp_path)
    write_map(tmp_path / "map.zarr", grid_map(fourier(), HALF_WIDTHS, (4, 4, 4), {}))
    metadata = json.loads((tmp_path / "map.zarr/zarr.json").read_text())
    del metadata["attributes"]["half_widths_kpc"]
    (tmp_path / "map.zarr/zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(ProductError, match="how large its box is; make it again"):
        open_map(tmp_path / "map.zarr")


def test_a_map_one_cell_thick_is_still_a_box(tmp_path):
    write_map(tmp_path / "map.zarr", grid_map(fourier(), HALF_WIDTHS, (8, 8, 1), {}))
    found = open_map(tmp_path / "map.zarr").extinction(skycoord(PLACES))
    assert np.all(np.isfinite(found.value))
