"""ln p and products with its metric: the dense matrix, the whole posterior, finite differences."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from tests.inference.small import (
    FULL_LIKELIHOOD,
    exact_batches,
    fit_settings,
    observations,
    white,
)
from tests.inference.test_newton import linear_problem, wiener

from dust3d.inference.batches import rows_in_order
from dust3d.inference.build import batches_for, target_for
from dust3d.inference.conjugate import solve
from dust3d.inference.dense import DenseProblem
from dust3d.inference.products import Products

NODES = 24
FLOAT = jnp.dtype("float64")
PLAIN = {"kind": "gaussian", "zero_point_std_mag": 0.02, "floor_mag": {"median": 0.05}}


def target_of(likelihood):
    return target_for(fit_settings(likelihood=likelihood), 2, 1, FLOAT)


def exact_products(likelihood, stars, batch=21):
    target = target_of(likelihood)
    xi = white(target.start(jax.random.key(0)))
    flat, _ = ravel_pytree(xi)
    return Products(target, exact_batches(stars, nodes=NODES, batch=batch), xi), target, xi, flat


LIKELIHOODS = [FULL_LIKELIHOOD, PLAIN]


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_values_gradients_and_metric_are_those_of_the_dense_twin(likelihood):
    stars = observations(61)
    products, target, xi, flat = exact_products(likelihood, stars)
    assert (products.batches.count, products.batches.size) == (3, 21)
    dense = DenseProblem(target, stars, NODES, xi)
    expected, metric = dense.gradient_and_metric(flat)
    value, gradient, anchors = products.expand(flat)
    assert value == pytest.approx(dense.log_posterior(flat), rel=1e-10)
    assert products.log_posterior(flat) == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(gradient, expected, rtol=1e-8, atol=1e-8)
    vectors = np.random.default_rng(3).standard_normal((4, flat.size))
    for v in vectors:
        found = products.multiply(flat, anchors, jnp.asarray(v))
        np.testing.assert_allclose(found, metric @ v, rtol=1e-8, atol=1e-8 * np.abs(metric).max())
    assert products.count == len(vectors)


def test_the_gradient_is_a_finite_difference():
    products, _, _, flat = exact_products(FULL_LIKELIHOOD, observations(30))
    _, gradient, _ = products.expand(flat)
    generator, step = np.random.default_rng(2), 1e-5
    for _ in range(3):
        direction = generator.standard_normal(flat.size)
        up, down = (products.log_posterior(flat + s * step * direction) for s in (1, -1))
        norm = float(np.linalg.norm(gradient) * np.linalg.norm(direction))
        slope = float(gradient @ direction)
        assert (up - down) / (2 * step) == pytest.approx(slope, abs=1e-7 * norm)


def test_rows_that_fill_a_batch_up_do_not_count():
    stars = observations(60)
    vector = jnp.asarray(np.random.default_rng(1).standard_normal(35))
    answers = []
    for batch, shape in [(60, (1, 60)), (7, (9, 7))]:
        products, _, _, flat = exact_products(FULL_LIKELIHOOD, stars, batch)
        assert (products.batches.count, products.batches.size) == shape
        value, gradient, anchors = products.expand(flat)
        answers.append((value, gradient, products.multiply(flat, anchors, vector[: flat.size])))
    for one, two in zip(*answers, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-9, atol=1e-7)


def test_production_rays_have_a_symmetric_metric_close_to_that_of_exact_ones():
    stars = observations(40)
    exact, target, xi, flat = exact_products(FULL_LIKELIHOOD, stars)
    rays = {"production": {"oversampling": 8, "kernel": "cubic"}}
    settings = fit_settings(likelihood=FULL_LIKELIHOOD, rays=rays)
    production = Products(target, batches_for(settings, stars, rows_in_order(40, 15)), xi)
    value, gradient, anchors = production.expand(flat)
    expected, by_exact, exact_anchors = exact.expand(flat)
    assert value == pytest.approx(expected, rel=1e-3)
    assert np.linalg.norm(gradient - by_exact) < 1e-2 * np.linalg.norm(by_exact)
    u, v = (jnp.asarray(a) for a in np.random.default_rng(1).standard_normal((2, flat.size)))
    by_u, by_v = (production.multiply(flat, anchors, a) for a in (u, v))
    assert float(u @ by_v) == pytest.approx(float(v @ by_u), rel=1e-6)
    twin = exact.multiply(flat, exact_anchors, v)
    assert np.linalg.norm(by_v - twin) < 1e-2 * np.linalg.norm(twin)


def test_one_step_lands_on_the_wiener_solution_where_all_is_linear_and_gaussian():
    stars = observations(60)
    noise = np.random.default_rng(0).normal(0, stars.sigma)
    stars = replace(stars, extinction=stars.distances + noise)
    problem, start = linear_problem(stars)
    expected, inverse = wiener(stars)
    products = Products(problem._target, exact_batches(stars, nodes=NODES, batch=25), start)
    flat, _ = ravel_pytree(start)
    value, gradient, anchors = products.expand(flat)
    found = solve(
        lambda v: products.multiply(flat, anchors, v), lambda v: v, gradient, share=0.01, most=20
    )
    np.testing.assert_allclose(found.x, expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(inverse @ found.x, gradient, rtol=1e-8, atol=1e-8)
    # quadratic: the gain of ln p is the predicted one
    gain = products.log_posterior(flat + found.x) - value
    assert gain == pytest.approx(found.gain, rel=1e-8)
