"""Samples of the posterior: the exact Gaussian where stars see rho in straight lines, a dense
twin, and the conditional distribution of a curved one by brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from tests.inference.small import FULL_LIKELIHOOD, exact_batches, observations
from tests.inference.test_newton import linear_problem, wiener
from tests.inference.test_products import exact_products

from dust3d.errors import FitError
from dust3d.inference.posterior import PosteriorSampler, dense_inverse
from dust3d.inference.products import Products


def sampler(products, flat, **options):
    settings = {"tolerance": 1e-8, "most": 2000, "steps": 0} | options
    return PosteriorSampler(products, flat, dense_inverse(products, flat), **settings)


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
