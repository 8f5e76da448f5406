"""The true stars: classes, motions, magnitudes, and a limit that dust counts against."""

import jax.numpy as jnp
import numpy as np
import pytest

from dust3d.config.base import Box
from dust3d.config.mock import MockClass, MockExtinction, MockStars
from dust3d.errors import ConfigError
from dust3d.fields.mean import ConstantMean
from dust3d.fields.structured import Disc, Filaments, StructuredField
from dust3d.mock.stars import draw_stars

BOX = Box(half_widths_kpc=(0.8, 0.8, 0.4))
UNIFORM = ConstantMean(jnp.asarray(np.log(0.7)))
CLASSES = (
    MockClass(name="A", fraction=0.7, zero_point_mag=0.0, absolute_magnitude_mag=1.5),
    MockClass(name="F", fraction=0.3, zero_point_mag=0.06, absolute_magnitude_mag=3.0),
)
SURVEY = MockStars(number=3000, classes=CLASSES)
NOISE = MockExtinction(integrator="exact", outlier_fraction=0.1, outlier_scale_mag=0.4)


@pytest.fixture(scope="module")
def stars():
    return draw_stars(UNIFORM, SURVEY, NOISE, BOX, 7)


def test_classes_have_their_shares_zero_points_and_magnitudes(stars):
    early = stars.star_class == "A"
    assert np.mean(early) == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / 3000))
    np.testing.assert_array_equal(stars.zero_point, np.where(early, 0.0, 0.06))
    for chosen, mean in ((early, 1.5), (~early, 3.0)):
        error = 0.5 / np.sqrt(chosen.sum())
        assert np.mean(stars.absolute_magnitude[chosen]) == pytest.approx(mean, abs=4 * error)


def test_magnitudes_have_distance_modulus_and_extinction(stars):
    np.testing.assert_allclose(stars.extinction, 0.7 * stars.distance, rtol=1e-6)
    at_10pc = stars.magnitude - stars.extinction - 5 * np.log10(stars.distance / 0.01)
    np.testing.assert_allclose(at_10pc, stars.absolute_magnitude, atol=1e-10)


def test_motions_are_velocities_over_distances(stars):
    velocity = 4.740470463533349 * stars.proper_motion * stars.distance[:, None]
    assert np.std(velocity) == pytest.approx(30, abs=4 * 30 / np.sqrt(2 * velocity.size))
    assert abs(np.corrcoef(velocity.T)[0, 1]) < 4 / np.sqrt(3000)


def test_outliers_are_one_sided_and_exponential(stars):
    share = np.mean(stars.excess > 0)
    assert share == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 3000))
    assert stars.excess.min() == 0
    mean = np.mean(stars.excess[stars.excess > 0])
    assert mean == pytest.approx(0.4, abs=4 * 0.4 / np.sqrt(300))


def test_the_magnitude_limit_removes_the_dusty_stars():
    # the same stars behind a wall of dust at x > 0 and in the clear at x < 0
    wall = Filaments(
        np.log([40.0]), np.array([[0.1, 0, 0]]), np.array([[0, 0.5, 0.0]]), np.array([0.03])
    )
    field = StructuredField((Disc(np.log(1e-3), 0.0, 1.0),), (wall,))
    limited = MockStars(number=3000, classes=CLASSES, magnitude_limit_mag=11.0)
    everything = draw_stars(field, SURVEY, NOISE, BOX, 7)
    seen = draw_stars(field, limited, NOISE, BOX, 7)
    bright = everything.magnitude <= 11.0
    assert 0 < bright.sum() < 3000
    np.testing.assert_array_equal(seen.position, everything.position[bright])
    np.testing.assert_array_equal(seen.extinction, everything.extinction[bright])
    dusty = everything.extinction > 1.5
    assert np.mean(bright[dusty]) < 0.7 * np.mean(bright[~dusty])


def test_a_limit_that_leaves_no_star_is_refused():
    blind = MockStars(number=50, magnitude_limit_mag=-20.0)
    with pytest.raises(ConfigError, match=r"magnitude_limit_mag = -20.*raise the limit"):
        draw_stars(UNIFORM, blind, NOISE, BOX, 1)


def test_an_empty_sky_has_no_extinction():
    empty = ConstantMean(jnp.asarray(np.log(1e-6)))
    stars = draw_stars(empty, SURVEY, NOISE, BOX, 1)
    assert np.all(stars.extinction < 1e-5)


def test_stars_of_a_flat_sky_lie_in_the_plane():
    flat = draw_stars(UNIFORM, SURVEY, NOISE, Box(half_widths_kpc=(0.8, 0.8)), 1)
    assert flat.position.shape == (3000, 2)
    assert np.all(flat.position_in_space()[:, 2] == 0)
    np.testing.assert_allclose(np.linalg.norm(flat.unit_vectors(), axis=1), 1, rtol=1e-12)


def test_seeds_decide(stars):
    again = draw_stars(UNIFORM, SURVEY, NOISE, BOX, 7)
    other = draw_stars(UNIFORM, SURVEY, NOISE, BOX, 8)
    np.testing.assert_array_equal(stars.proper_motion, again.proper_motion)
    assert not np.any(stars.proper_motion == other.proper_motion)
