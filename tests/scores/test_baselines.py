"""The rivals of a map: neighbours by brute force, the slab by numerical integration."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm, t

from dust3d.config.model import Likelihood
from dust3d.observations import Observations
from dust3d.scores.baselines import neighbours, slab

GAUSSIAN = Likelihood(kind="gaussian")
STUDENT = Likelihood(kind="student_t")


def slab_extinction(position, density, height, sun):
    """int rho0 exp(-|z + z0| / h) ds by adaptive quadrature."""
    distance = np.linalg.norm(position)
    z = position[2] if len(position) == 3 else 0.0
    plane = -sun / z if z else -1.0
    value, _ = quad(
        lambda s: np.exp(-abs(s * z + sun) / height),
        0,
        1,
        points=[plane] if 0 < plane < 1 else None,
        epsabs=1e-12,
    )
    return density * distance * value


def slab_sky(n, sun=0.02, noise=0.01, seed=0, ndim=3):
    generator = np.random.default_rng(seed)
    positions = generator.uniform(-0.5, 0.5, (n, ndim))
    true = np.array([slab_extinction(p, 1.5, 0.1, sun) for p in positions])
    observed = true + generator.normal(0, noise, n)
    return Observations(positions, observed, np.full(n, noise), np.zeros(n, int), ("A",)), true


def test_neighbours_are_those_of_brute_force():
    train, _ = slab_sky(80)
    heldout, _ = slab_sky(15, seed=1)
    found = neighbours(train, heldout, 5, GAUSSIAN)

    def mean_of_nearest(place, skip):
        nearest = np.argsort(np.linalg.norm(train.positions - place, axis=1))
        return train.extinction[nearest[skip : skip + 5]].mean()

    left_out = np.array([mean_of_nearest(place, 1) for place in train.positions])
    # one class: one zero point, from stars predicted without themselves
    zero_point = np.median(train.extinction - left_out)
    for i, place in enumerate(heldout.positions):
        expected = mean_of_nearest(place, 0) + zero_point
        assert found.mean[i] == pytest.approx(expected, rel=1e-12)


def test_classes_get_zero_points_of_their_own():
    train, _ = slab_sky(400)
    heldout, true = slab_sky(60, seed=1)
    shift = np.array([0.0, 0.2])
    shifted = [
        Observations(
            stars.positions,
            stars.extinction + shift[np.arange(len(stars)) % 2],
            stars.sigma,
            np.arange(len(stars)) % 2,
            ("A", "F"),
        )
        for stars in (train, heldout)
    ]
    found = slab(*shifted, GAUSSIAN)
    assert np.abs(found.mean - true - shift[np.arange(60) % 2]).max() < 0.12
    apart = [(found.mean - true)[i::2].mean() for i in (0, 1)]
    assert apart[1] - apart[0] == pytest.approx(0.2, abs=0.02)


def test_more_neighbours_than_stars_are_all_stars_but_one():
    train, _ = slab_sky(6)
    heldout, _ = slab_sky(3, seed=1)
    assert np.all(np.isfinite(neighbours(train, heldout, 20, GAUSSIAN).mean))
    assert np.all(np.isfinite(neighbours(train, heldout, 1, GAUSSIAN).mean))


def test_scatter_of_neighbours_is_fitted_to_stars_predicted_without_themselves():
    generator = np.random.default_rng(2)
    n = 1500
    stars = [
        Observations(
            generator.uniform(-1, 1, (m, 3)),
            generator.normal(0.3, 0.2, m),
            np.full(m, 0.05),
            np.zeros(m, int),
            ("A",),
        )
        for m in (n, 300)
    ]
    found = neighbours(*stars, 20, GAUSSIAN)
    # the star's own noise and that of a mean of 20
    expected = 0.2 * np.sqrt(1 + 1 / 20)
    np.testing.assert_allclose(found.sigma, expected, rtol=4 / np.sqrt(2 * n))


@pytest.mark.parametrize(("settings", "twin"), [(GAUSSIAN, norm), (STUDENT, t)])
def test_densities_are_of_the_runs_family(settings, twin):
    train, _ = slab_sky(60)
    heldout, _ = slab_sky(30, seed=1)
    for found in (neighbours(train, heldout, 5, settings), slab(train, heldout, settings)):
        shape = () if twin is norm else (settings.degrees_of_freedom,)
        scale = found.sigma / twin.ppf(norm.cdf(1), *shape)
        expected = twin.logpdf(heldout.extinction, *shape, loc=found.mean, scale=scale)
        np.testing.assert_allclose(found.log_density, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sun", [0.02, -0.05])
def test_a_slab_sky_is_fitted_by_the_slab(sun):
    train, _ = slab_sky(300, sun)
    heldout, true = slab_sky(60, sun, seed=1)
    found = slab(train, heldout, GAUSSIAN)
    assert np.abs(found.mean - true).max() < 0.02
    np.testing.assert_allclose(found.sigma, 0.01, rtol=0.25)


def test_closed_form_of_the_slab_is_the_integral():
    # without noise the fit ends where the integral was made
    train, _ = slab_sky(200, noise=1e-5)
    heldout, true = slab_sky(50, noise=1e-5, seed=1)
    heldout.positions[:3] = [[0.3, 0.1, 0.0], [0.3, 0.1, 1e-12], [0.2, 0.0, -0.02]]
    true[:3] = [slab_extinction(p, 1.5, 0.1, 0.02) for p in heldout.positions[:3]]
    np.testing.assert_allclose(slab(train, heldout, GAUSSIAN).mean, true, atol=5e-4)


def test_a_flat_slab_is_a_constant_density():
    train, _ = slab_sky(200, ndim=2)
    heldout, true = slab_sky(40, seed=1, ndim=2)
    np.testing.assert_allclose(slab(train, heldout, GAUSSIAN).mean, true, atol=0.01)
