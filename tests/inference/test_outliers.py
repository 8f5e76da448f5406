"""Outlier probabilities against draws of the stated models and Bayes' rule."""

import numpy as np
import pytest
from scipy import integrate, stats

from dust3d.inference.outliers import BROAD, BROAD_GAUSSIAN, SHARE, outlier_probability

STUDENT, GAUSSIAN = 4.0, None


def drawn(kind, n, generator):
    """Residuals in units of the scale, and which of them are outliers."""
    if kind is STUDENT:
        own = generator.gamma(2.0, 1 / 2.0, n)
        return generator.standard_normal(n) / np.sqrt(own), own < 1 / BROAD**2
    out = generator.uniform(size=n) < SHARE
    return generator.standard_normal(n) * np.where(out, BROAD_GAUSSIAN, 1.0), out


@pytest.mark.parametrize("settings", [STUDENT, GAUSSIAN])
def test_of_stars_with_a_probability_so_many_are_outliers(settings):
    residual, out = drawn(settings, 400_000, np.random.default_rng(1))
    scale = np.random.default_rng(2).uniform(0.02, 0.3, len(residual))
    found = outlier_probability(1 + scale * residual, np.ones(len(residual)), scale, settings)
    edges = np.array([0, 0.02, 0.1, 0.3, 0.6, 0.9, 1.0])
    for low, high in zip(edges, edges[1:], strict=False):
        some = (found >= low) & (found < high)
        share, n = out[some].mean(), some.sum()
        expected = found[some].mean()
        error = np.sqrt(expected * (1 - expected) / n)
        assert share == pytest.approx(expected, abs=4 * error + 1e-4)


def test_student_t_is_the_integral_over_each_star_s_own_variance():
    for chi in (0.0, 2.0, 5.0, 12.0):

        def density(own, chi=chi):
            return stats.gamma.pdf(own, 2.0, scale=0.5) * stats.norm.pdf(chi, scale=own**-0.5)

        broad = integrate.quad(density, 0, 1 / BROAD**2)[0]
        whole = broad + integrate.quad(density, 1 / BROAD**2, 60)[0]
        found = outlier_probability(*(np.array([v]) for v in (0.1 * chi, 0.0, 0.1)), STUDENT)
        assert found[0] == pytest.approx(broad / whole, rel=1e-6)


@pytest.mark.parametrize("settings", [STUDENT, GAUSSIAN])
def test_a_mixture_weighs_its_components_by_what_they_say_of_the_star(settings):
    observed = np.array([0.5, 0.5, 3.0])
    mean = np.array([[0.5, 2.0], [0.5, 0.5], [0.5, 0.5]])
    scale = np.full((3, 2), 0.1)
    found = outlier_probability(observed, mean, scale, settings, np.array([0.5, 0.5]))
    alone = outlier_probability(observed, mean[:, 0], scale[:, 0], settings)
    # a star at one of its components is none; two components that agree are one
    assert found[0] < 1.2 * alone[0] + 1e-3
    np.testing.assert_allclose(found[1:], alone[1:], rtol=1e-12)
    assert found[2] > 0.95
    # a component of no weight says nothing
    none = outlier_probability(observed, mean, scale, settings, np.array([1.0, 0.0]))
    np.testing.assert_allclose(none, alone, rtol=1e-12)


def test_the_share_before_measurement_is_the_stated_one():
    prior = stats.gamma.cdf(1 / BROAD**2, 2.0, scale=0.5)
    assert 1 / prior == pytest.approx(47, abs=0.5)


def test_residuals_of_any_size_are_finite_and_rise():
    chi = np.concatenate([np.linspace(0, 50, 200), [1e4, 1e8]])
    for settings in (STUDENT, GAUSSIAN):
        found = outlier_probability(chi, np.zeros(len(chi)), np.ones(len(chi)), settings)
        assert np.all(np.isfinite(found))
        assert np.all(np.diff(found) >= -1e-12)
        assert found[-1] == pytest.approx(1.0, abs=1e-6)
