"""Distance posteriors: closed limits, and a slow obvious twin."""

import numpy as np
import pytest
from scipy.stats import gamma

from dust3d.distances import (
    DistanceCells,
    cell_shares,
    distance_cells,
    distance_posterior,
)

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


def posterior_of(parallax, error):
    """Distances in fine steps of the posterior's distribution function, by brute force."""
    ln_r = np.linspace(np.log(1e-3), np.log(500), 400_001)
    r = np.exp(ln_r)
    ln_density = 3 * ln_r - r / SCALE - 0.5 * ((parallax - 1 / r) / error) ** 2
    weight = np.exp(ln_density - ln_density.max())
    return r, weight / weight.sum()


@pytest.mark.parametrize(("parallax", "error"), [(2, 0.02), (2, 0.4), (0.5, 0.1), (-0.3, 1.0)])
@pytest.mark.parametrize("cells", [2, 3, 7, 20])
def test_cells_are_pieces_of_the_posterior(parallax, error, cells):
    found = distance_cells(np.array([parallax]), np.array([error]), SCALE, cells)
    shares = cell_shares(cells)
    assert shares.sum() == pytest.approx(1.0, abs=1e-14)
    r, weight = posterior_of(parallax, error)
    number = np.searchsorted(np.cumsum(shares)[:-1], np.cumsum(weight))
    width = np.sqrt((weight * (r - (weight * r).sum()) ** 2).sum())
    for i in range(cells):
        inside = weight * (number == i)
        mean = (inside * r).sum() / inside.sum()
        spread = np.sqrt((inside * (r - mean) ** 2).sum() / inside.sum())
        assert found.distance[0, i] == pytest.approx(mean, abs=5e-3 * width)
        assert found.spread[0, i] == pytest.approx(spread, abs=1e-2 * width)


def test_cells_keep_mean_and_variance_and_leave_little_variance_inside():
    generator = np.random.default_rng(3)
    parallax, relative = generator.uniform(0.2, 3, 200), generator.uniform(1e-4, 0.4, 200)
    _, std = distance_posterior(parallax, relative * parallax, SCALE)
    left = []
    for cells in (3, 7, 15):
        found = distance_cells(parallax, relative * parallax, SCALE, cells)
        shares = cell_shares(cells)
        assert np.all(np.diff(found.distance, axis=1) > 0)
        mean = found.distance @ shares
        inside = found.spread**2 @ shares
        variance = (found.distance - mean[:, None]) ** 2 @ shares + inside
        np.testing.assert_allclose(np.sqrt(variance), std, rtol=2e-3)
        left.append(np.median(inside / variance))
    # of many cells of a normal distribution pi sqrt(3) / 2 over the square of their number
    assert np.all(left < 1.7 * np.pi * np.sqrt(3) / 2 / np.array([3, 7, 15]) ** 2)
    # small errors keep their digits
    tiny = distance_cells(np.array([2.0]), np.array([2e-8]), SCALE, 7)
    assert tiny.spread[0, 3] == pytest.approx(0.5e-8 * 0.18, rel=0.05)


def test_cells_beyond_a_limit_are_moved_there():
    found = DistanceCells(np.array([[1.0, 2.0, 3.0]]), np.full((1, 3), 0.3)).within(np.array([2.5]))
    np.testing.assert_array_equal(found.distance, [[1.0, 2.0, 2.5]])
    np.testing.assert_array_equal(found.spread, [[0.3, 0.3, 0.0]])


def test_gaps_have_no_cells():
    found = distance_cells(np.array([2.0, np.nan]), np.array([0.1, 0.1]), SCALE, 5)
    np.testing.assert_array_equal(np.isfinite(found.distance).all(axis=1), [True, False])
