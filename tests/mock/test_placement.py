"""Places of stars: uniform and exponential, always inside the part of the box they may have."""

import numpy as np
import pytest
from scipy.stats import kstest

from dust3d.config.base import Box
from dust3d.config.mock import DiscStars, UniformStars
from dust3d.mock.placement import draw_positions

BOX = Box(half_widths_kpc=(2.0, 1.0, 0.5))


def test_uniform_stars_fill_their_part_of_the_box():
    stars = draw_positions(UniformStars(kind="uniform", extent=0.8), BOX, 4000, 1)
    assert stars.shape == (4000, 3)
    for x, half in zip(stars.T, BOX.half_widths_kpc, strict=True):
        assert kstest(x / (0.8 * half), "uniform", args=(-1, 2)).pvalue > 1e-3


def test_disc_stars_are_exponential_in_height_and_radius():
    placement = DiscStars(
        kind="disc", extent=0.9, scale_height_kpc=0.1, scale_length_kpc=1.5, solar_radius_kpc=8.0
    )
    stars = draw_positions(placement, BOX, 6000, 1)
    reach = 0.9 * np.array(BOX.half_widths_kpc)
    assert np.all(np.abs(stars) <= reach)

    def height(z):
        return np.expm1(-z / 0.1) / np.expm1(-reach[2] / 0.1)

    assert kstest(np.abs(stars[:, 2]), height).pvalue > 1e-3
    assert np.mean(stars[:, 2] > 0) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(6000))
    # of two equal strips the one nearer to the centre has exp(distance / scale length) more
    inner, outer = np.sum(stars[:, 0] > 1.4), np.sum(stars[:, 0] < -1.4)
    expected = np.exp(3.2 / 1.5)
    assert inner / outer == pytest.approx(expected, rel=5 / np.sqrt(outer))


@pytest.mark.parametrize(
    "placement", [UniformStars(kind="uniform"), DiscStars(kind="disc")], ids=["uniform", "disc"]
)
def test_two_dimensions_seeds_and_no_star_at_the_sun(placement):
    flat = Box(half_widths_kpc=(0.05, 0.05))
    stars = draw_positions(placement, flat, 3000, 1)
    assert stars.shape == (3000, 2)
    assert np.all(np.abs(stars) <= 0.8 * 0.05)
    assert np.linalg.norm(stars, axis=1).min() >= 4e-4
    np.testing.assert_array_equal(stars, draw_positions(placement, flat, 3000, 1))
    assert not np.any(stars == draw_positions(placement, flat, 3000, 2))


def test_the_centre_of_the_galaxy_may_lie_in_the_box():
    stars = draw_positions(DiscStars(kind="disc"), Box(half_widths_kpc=(12.0, 12.0, 1.0)), 500, 1)
    near_centre = np.linalg.norm(stars[:, :2] - [8.2, 0.0], axis=1) < 2.6
    assert np.mean(near_centre) > 0.15
