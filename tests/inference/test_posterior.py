"""Samples of the posterior: the exact Gaussian where stars see rho in straight lines, a dense
twin, and the conditional distribution of a curved one by brute force."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from tests.inference.small import FULL_LIKELIHOOD, exact_batches, observations
from tests.inference.test_newton import LinearPrior, bumps, linear_problem, wiener
from tests.inference.test_products import exact_products

from dust3d.config.model import Likelihood as LikelihoodSettings
from dust3d.config.model import Parameter
from dust3d.errors import FitError
from dust3d.inference.dense import DenseProblem
from dust3d.inference.likelihood import Likelihood
from dust3d.inference.newton import polish
from dust3d.inference.posterior import PosteriorSampler
from dust3d.inference.products import Products
from dust3d.inference.target import Target

FLOAT = jnp.dtype("float64")


def dense_inverse(products, flat):
    """The exact inverse of the metric, by as many products as there are parameters."""
    _, _, anchors = products.expand(flat)
    columns = [products.multiply(flat, anchors, v) for v in jnp.eye(flat.size, dtype=flat.dtype)]
    metric = jnp.stack(columns, axis=1)
    factor = jnp.linalg.cholesky((metric + metric.T) / 2)
    return jax.jit(lambda v: jax.scipy.linalg.cho_solve((factor, True), v))


def sampler(products, flat, **options):
    settings = {"tolerance": 1e-8, "most": 2000, "steps": 0} | options
    return PosteriorSampler(products, flat, dense_inverse(products, flat), **settings)


def response_of(stars):
    """R of the field that is linear in rho, in plain numpy."""
    t, w = np.polynomial.legendre.leggauss(60)
    points = (0.5 + 0.5 * t)[None, :, None] * stars.positions[:, None, :]
    found = 0.1 * np.einsum("q,nqb->nb", w / 2, np.asarray(bumps(jnp.asarray(points))))
    return found * stars.distances[:, None]


def products_of(problem, start, stars):
    """The products of a dense problem."""
    target = problem._target
    return Products(target, exact_batches(stars, nodes=24, batch=len(stars)), start)


def draws(one, number, seed=0):
    keys = jax.random.split(jax.random.key(seed), number)
    return [one.draw(key) for key in keys]


def test_samples_of_a_field_that_stars_see_in_straight_lines_are_the_wiener_posterior():
    stars = observations(60)
    problem, start = linear_problem(stars)
    products = products_of(problem, start, stars)
    _, inverse = wiener(stars)
    flat = ravel_pytree(start)[0]
    number = 1500
    found = np.stack([s.flat for s in draws(sampler(products, flat, steps=2), number)])
    covariance = np.linalg.inv(inverse)
    np.testing.assert_allclose(
        found.mean(axis=0), flat, atol=4 * np.sqrt(np.diag(covariance).max() / number)
    )
    # of a sample covariance: Wishart
    own = np.diag(covariance)
    error = np.sqrt((covariance**2 + np.outer(own, own)) / number)
    assert np.max(np.abs(np.cov(found.T) - covariance) / error) < 4.5


def test_noise_has_the_metric_as_its_covariance():
    products, _, _, flat = exact_products(FULL_LIKELIHOOD, observations(61))
    _, _, anchors = products.expand(flat)
    metric = np.stack([products.multiply(flat, anchors, v) for v in jnp.eye(flat.size)])
    keys = jax.random.split(jax.random.key(1), 2000)
    noise = np.stack([products.noise(flat, anchors, key) for key in keys])
    half = np.linalg.inv(np.linalg.cholesky(metric))
    white_noise = noise @ half.T
    np.testing.assert_allclose(white_noise.mean(axis=0), 0, atol=4.5 / np.sqrt(len(keys)))
    covariance = np.cov(white_noise.T)
    np.testing.assert_allclose(covariance, np.eye(flat.size), atol=5.5 / np.sqrt(len(keys)))


def test_curved_is_the_metric_for_small_steps_and_the_residual_of_a_bent_sample_vanishes():
    products, _, _, flat = exact_products(FULL_LIKELIHOOD, observations(61))
    _, _, anchors = products.expand(flat)
    step = 1e-5 * jnp.asarray(np.random.default_rng(0).standard_normal(flat.size))
    straight = products.multiply(flat, anchors, step)
    np.testing.assert_allclose(
        products.curved(flat, anchors, flat + step), straight, rtol=1e-3, atol=1e-9
    )
    one = sampler(products, flat, tolerance=1e-6, steps=60)
    sample = one.draw(jax.random.key(3))
    noise = products.noise(flat, anchors, jax.random.key(3))
    rest = noise - products.curved(flat, anchors, sample.flat)
    assert sample.missed < 1e-6
    assert np.linalg.norm(rest) < 1e-4 * np.linalg.norm(noise)
    assert np.linalg.norm(sample.flat - sample.linear) > 1e-2


def test_a_sample_that_misses_the_tolerance_is_an_error():
    products, _, _, flat = exact_products(FULL_LIKELIHOOD, observations(61))
    one = PosteriorSampler(products, flat, lambda v: v, tolerance=1e-6, most=3, steps=0)
    with pytest.raises(FitError, match=r"after 3 products.*still misses by"):
        one.draw(jax.random.key(0))


def test_the_centre_of_a_gaussian_posterior_is_its_maximum():
    stars = observations(60)
    problem, start = linear_problem(stars)
    products, (flat, _) = products_of(problem, start, stars), ravel_pytree(start)
    mean, _ = wiener(stars)
    one = sampler(products, jnp.asarray(mean), steps=1)
    found = one.centred(jax.random.key(0), pairs=2, rounds=3)
    assert np.linalg.norm(found._flat - mean) < 1e-6 * np.linalg.norm(mean)
    # from elsewhere one round leads there
    found = sampler(products, flat, steps=1).centred(jax.random.key(0), pairs=2, rounds=1)
    np.testing.assert_allclose(found._flat, mean, atol=0.15 * np.linalg.norm(mean))


def test_samples_about_the_centre_have_the_scatter_that_the_maximum_lacks():
    """Few stars: the field takes up noise, and at the maximum the error inflation is too small.

    Its marginal posterior is known, for the field is linear in rho.
    """
    stars = observations(30)
    settings = LikelihoodSettings(error_inflation=Parameter(median=1.0, ln_std=0.7))
    target = Target(LinearPrior(), Likelihood(settings, 2, FLOAT))
    response, generator = response_of(stars), np.random.default_rng(5)
    rest = response @ generator.standard_normal(3) + generator.normal(0, stars.sigma)
    stars = replace(stars, extinction=stars.distances + rest)
    start = target.start(jax.random.key(0))
    problem = DenseProblem(target, stars, 24, start)
    xi, _ = polish(problem, start, max_steps=40, tolerance=1e-9, title="linear")
    grid, log_p = np.linspace(-3, 3, 601), []
    for x in grid:
        covariance = response @ response.T + np.diag((np.exp(0.7 * x) * stars.sigma) ** 2)
        chi2 = rest @ np.linalg.solve(covariance, rest)
        log_p.append(-0.5 * (chi2 + np.linalg.slogdet(covariance)[1] + x**2))
    weight = np.exp(np.array(log_p) - max(log_p))
    mean = float(grid @ weight / weight.sum())
    std = float(np.sqrt(grid**2 @ weight / weight.sum() - mean**2))
    flat, unravel = ravel_pytree(xi)
    about_maximum = sampler(products_of(problem, xi, stars), flat, steps=4, tolerance=1e-3)
    about_centre = about_maximum.centred(jax.random.key(1), pairs=8, rounds=3)

    def off(one, number=200):
        found = [unravel(s.flat)["likelihood"]["error_inflation"] for s in draws(one, number)]
        assert np.std(found) == pytest.approx(std, rel=0.25)
        return abs(np.mean(found) - mean) / std

    assert off(about_maximum) > 0.25
    assert off(about_centre) < 0.15
