"""The posterior predictive distribution against loops and integrals."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from dust3d.scores import mixture as module
from dust3d.scores.family import Family
from dust3d.scores.mixture import Mixture

FAMILIES = [Family(None), Family(4.0)]


def made_up(family, samples=7, stars=5, seed=0):
    generator = np.random.default_rng(seed)
    mean = generator.normal(0.5, 0.1, (samples, stars))
    shares = generator.dirichlet(np.ones(samples))
    return Mixture(family, shares, mean, generator.uniform(0.02, 0.2, (samples, stars)))


@pytest.mark.parametrize("family", FAMILIES)
def test_density_and_share_below_are_means_over_components(family):
    mixture, observed = made_up(family), np.linspace(0.1, 0.9, 5)
    for i, value in enumerate(observed):
        parts = list(zip(mixture.mean[:, i], mixture.scale[:, i], strict=True))

        def density(a, parts=parts):
            mean, scale = np.asarray(parts).T
            return mixture.shares @ np.exp(family.log_density(a - mean, scale))

        ln_density = np.log(density(value))
        assert mixture.log_density(observed)[i] == pytest.approx(ln_density, rel=1e-12)
        below, _ = quad(density, -30, value, points=[0.0, value - 0.1], limit=500)
        assert mixture.cdf(observed)[i] == pytest.approx(below, abs=1e-6)


def test_a_measurement_far_off_has_a_density_that_does_not_underflow():
    mixture = made_up(Family(None))
    assert np.all(np.isfinite(mixture.log_density(np.full(5, 100.0))))


@pytest.mark.parametrize("family", FAMILIES)
def test_quantiles_invert_the_share_below(family, monkeypatch):
    mixture = made_up(family)
    for share in (0.025, 0.16, 0.5, 0.975):
        np.testing.assert_allclose(mixture.cdf(mixture.quantile(share)), share, rtol=1e-6)
    whole = mixture.quantile(0.3)
    # stars come in parts: the same
    monkeypatch.setattr(module, "_ENTRIES_AT_ONCE", 14)
    np.testing.assert_array_equal(mixture.quantile(0.3), whole)


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_all_alike_predict_as_one(family):
    one = made_up(family, samples=1)
    shares, repeated = np.full(9, 1 / 9), (np.repeat(a, 9, 0) for a in (one.mean, one.scale))
    many = Mixture(family, shares, *repeated)
    observed = np.linspace(0.1, 0.9, 5)
    prediction = many.prediction(observed)
    np.testing.assert_allclose(prediction.mean, one.mean[0], rtol=1e-12)
    np.testing.assert_allclose(prediction.sigma, family.unit_width * one.scale[0], rtol=1e-9)
    expected = family.log_density(observed - one.mean[0], one.scale[0])
    np.testing.assert_allclose(prediction.log_density, expected, rtol=1e-9)


def test_gaussian_spread_of_gaussians_adds_in_squares():
    shift = norm.ppf((np.arange(4000) + 0.5) / 4000)[:, None]
    shares, scale = np.full(4000, 1 / 4000), np.full((4000, 1), 0.4)
    prediction = Mixture(Family(None), shares, 0.3 * shift, scale).prediction(np.zeros(1))
    assert prediction.sigma[0] == pytest.approx(0.5, rel=1e-3)
    assert prediction.log_density[0] == pytest.approx(norm.logpdf(0, scale=0.5), abs=1e-3)
