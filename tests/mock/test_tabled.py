"""Stars of a mock that stand where a table has them."""

import jax.numpy as jnp
import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from dust3d.config.base import Box
from dust3d.config.mock import Mock, MockExtinction, MockStars, TableStars, UniformTruth
from dust3d.errors import ConfigError, TableError
from dust3d.fields.mean import ConstantMean
from dust3d.io.tables import write_table
from dust3d.mock.catalogues import observe
from dust3d.mock.stars import draw_stars
from dust3d.mock.tabled import read_stars

BOX = Box(half_widths_kpc=(0.6, 0.6, 0.6))
DUST = ConstantMean(jnp.asarray(np.log(0.7)))
N = 3000


@pytest.fixture
def tables(tmp_path):
    """Two tables of N / 2 stars each, as a run selects them."""
    rng = np.random.default_rng(5)
    paths = []
    for name in ("train", "heldout"):
        n = N // 2
        table = QTable(
            {
                "l": rng.uniform(0, 360, n) * u.deg,
                "b": np.rad2deg(np.arcsin(rng.uniform(-1, 1, n))) * u.deg,
                "distance": rng.uniform(0.02, 0.4, n) * u.kpc,
                "parallax_error": rng.uniform(0.01, 0.3, n) * u.mas,
                "extinction": rng.normal(0.2, 0.1, n) * u.mag,
                "extinction_error": rng.uniform(0.01, 0.1, n) * u.mag,
                "class": rng.choice(["A0-4", "F0-4"], n),
                "phot_g_mean_mag": rng.uniform(5, 10, n) * u.mag,
            }
        )
        table["phot_g_mean_mag"][0] = np.nan * u.mag
        write_table(tmp_path / f"{name}.h5", table)
        paths.append(str(tmp_path / f"{name}.h5"))
    return tuple(paths)


def placement(tables, **changes):
    return TableStars(kind="table", paths=tables, **changes)


def test_places_classes_and_errors_are_the_tables(tables):
    stars = read_stars(placement(tables), BOX, None, 1)
    rows = [QTable.read(path, path="stars") for path in tables]
    for name in ("parallax_error", "extinction_error"):
        given = np.concatenate([table[name].value for table in rows])
        np.testing.assert_array_equal(getattr(stars, name), given)
    distance = np.concatenate([table["distance"].value for table in rows])
    np.testing.assert_allclose(np.linalg.norm(stars.position, axis=1), distance, rtol=1e-12)
    latitude = np.concatenate([table["b"].value for table in rows])
    np.testing.assert_allclose(stars.position[:, 2], distance * np.sin(np.deg2rad(latitude)))
    # G = M + 5 lg(d / 10 pc) + A of the table, for a star that has a magnitude
    table = rows[0][1]
    without = table["phot_g_mean_mag"].value - table["extinction"].value
    assert stars.absolute_magnitude[1] == pytest.approx(without - 5 * np.log10(distance[1] / 0.01))
    assert stars.absolute_magnitude[0] == np.median(np.delete(stars.absolute_magnitude, 0))


def test_a_number_takes_some_at_random_and_an_extent_those_inside(tables):
    some = read_stars(placement(tables), BOX, 100, 1)
    assert len(some.position) == 100
    other = read_stars(placement(tables), BOX, 100, 2)
    assert not np.array_equal(some.position, other.position)
    inside = read_stars(placement(tables, extent=0.2), BOX, None, 1)
    assert 0 < len(inside.position) < N
    assert np.abs(inside.position).max() <= 0.12


def test_measured_values_scatter_by_each_stars_own_errors(tables):
    truth = UniformTruth(kind="uniform", density_mag_per_kpc=0.7)
    stars = MockStars(placement=placement(tables, zero_points_mag={"F0-4": 0.06}))
    noise = MockExtinction(understatement=1.5, integrator="exact")
    mock = Mock(truth=truth, stars=stars, extinction=noise)
    sky = observe(draw_stars(DUST, stars, noise, BOX, 7), mock, 7)
    both = (sky.truth["source_id"] >= 0) & (sky.truth["extinction_id"] >= 0)
    known = sky.truth[both]
    first = sky.astrometry[np.searchsorted(sky.astrometry["source_id"], known["source_id"])]
    at = np.searchsorted(sky.extinction["extinction_id"], known["extinction_id"])
    second = sky.extinction[at]
    off = second["extinction"].value - known["extinction"].value
    off = off - np.where(known["class"] == "F0-4", 0.06, 0.0)
    scatter = off / second["extinction_error"].value
    assert np.std(scatter) == pytest.approx(1.5, rel=4 / np.sqrt(2 * len(known)))
    off = first["parallax"].value - 1 / known["distance"].value + 0.03
    scatter = off / first["parallax_error"].value
    assert np.std(scatter) == pytest.approx(1.0, rel=4 / np.sqrt(2 * len(known)))
    rows = [QTable.read(path, path="stars") for path in tables]
    for table, name in ((second, "extinction_error"), (first, "parallax_error")):
        given = np.sort(np.concatenate([row[name].value for row in rows]))
        nearest = given[np.clip(np.searchsorted(given, table[name].value - 1e-12), 0, N - 1)]
        np.testing.assert_allclose(table[name].value, nearest, rtol=1e-9)


def test_what_cannot_be_is_refused_in_words(tables, tmp_path):
    with pytest.raises(TableError, match="no such file"):
        read_stars(placement((str(tmp_path / "none.h5"),)), BOX, None, 1)
    with pytest.raises(ConfigError, match=r"no star of the tables is of class 'K'; they have A0-4"):
        read_stars(placement(tables, zero_points_mag={"K": 0.1}), BOX, None, 1)
    with pytest.raises(ConfigError, match="none of 3000 stars"):
        read_stars(placement(tables, extent=1e-4), BOX, None, 1)
    with pytest.raises(ValueError, match="number is missing"):
        MockStars()
