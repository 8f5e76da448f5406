"""Distance posteriors: closed limits, and a slow obvious twin."""

import numpy as np
import pytest
from scipy.stats import gamma

from dust3d.distances import distance_posterior

SCALE = 1.35


def slow(parallax: float, error: float) -> tuple[float, float]:
    """Median and standard deviation by brute force on a linear grid about the bulk."""
    ln_r = np.linspace(np.log(1e-3), np.log(500), 1_000_001)
    r = np.exp(ln_r)
    ln_density = 3 * ln_r - r / SCALE - 0.5 * ((parallax - 1 / r) / error) ** 2
    weight = np.exp(ln_density - ln_density.max())
    weight /= weight.sum()
    mean = (weight * r).sum()
    median = np.interp(0.5, np.cumsum(weight), r)
    return median, np.sqrt((weight * (r - mean) ** 2).sum())


@pytest.mark.parametrize("relative", [1e-3, 1e-6, 1e-8])
def test_small_errors_give_the_inverse_parallax(relative):
    parallax = np.array([0.2, 2.0, 40.0])
    median, std = distance_posterior(parallax, relative * parallax, SCALE)
    # the next order in the error: the median moves by r (2 s^2)(1 + ...), here below 10 s^2
    np.testing.assert_allclose(median, 1 / parallax, rtol=10 * relative**2 + 1e-3 * relative)
    np.testing.assert_allclose(std, relative / parallax, rtol=1e-3)


def test_no_information_gives_the_prior():
    median, std = distance_posterior(np.array([0.3]), np.array([1e5]), SCALE)
    prior = gamma(3, scale=SCALE)
    np.testing.assert_allclose(median, prior.median(), rtol=1e-3)
    np.testing.assert_allclose(std, prior.std(), rtol=1e-3)


@pytest.mark.parametrize(
    ("parallax", "error"),
    [
        (2, 0.02),
        (2, 0.5),
        (0.5, 0.06),
        (0.5, 0.2),
        (0.0, 0.1),
        (-1.0, 0.1),
        (-0.3, 1.0),
        (0.005, 1e-4),
        (0.82, 0.1),
        (0.1, 0.02),
    ],
)
def test_it_equals_brute_force(parallax, error):
    median, std = distance_posterior(np.array([parallax]), np.array([error]), SCALE)
    expected = slow(parallax, error)
    np.testing.assert_allclose(median[0], expected[0], atol=2e-3 * expected[1])
    np.testing.assert_allclose(std[0], expected[1], rtol=2e-3)


def test_stars_do_not_depend_on_each_other_and_gaps_stay_gaps():
    parallax = np.array([2.0, np.nan, 1.0, 1.0, np.inf, -2.0])
    error = np.array([0.1, 0.1, np.nan, 0.0, 0.1, 0.1])
    median, std = distance_posterior(parallax, error, SCALE)
    good = np.array([True, False, False, False, False, True])
    np.testing.assert_array_equal(np.isfinite(median), good)
    np.testing.assert_array_equal(np.isfinite(std), good)
    alone, _ = distance_posterior(parallax[:1], error[:1], SCALE)
    assert alone[0] == median[0]


def test_median_is_calibrated_on_draws_from_the_prior():
    rng = np.random.default_rng(4)
    true = gamma(3, scale=SCALE).rvs(4000, random_state=rng)
    error = np.full(4000, 0.2)
    median, _ = distance_posterior(1 / true + error * rng.normal(size=4000), error, SCALE)
    below = np.mean(true < median)
    assert abs(below - 0.5) < 4 * 0.5 / np.sqrt(4000)
