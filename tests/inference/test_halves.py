"""Determinants through a factor whose own is known, against the dense matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from tests.inference.small import FULL_LIKELIHOOD, exact_batches, fit_settings, observations, white

from dust3d.inference.build import target_for
from dust3d.inference.evidence import log_determinant
from dust3d.inference.halves import half_of
from dust3d.inference.products import Products

NODES = 24
ORDER = (5, 4, 2)


@pytest.fixture(scope="module")
def problem():
    settings = fit_settings(ORDER, likelihood=FULL_LIKELIHOOD)
    stars = observations(300)
    target = target_for(settings, 2, 1, jnp.dtype("float64"))
    xi = white(target.start(jax.random.key(0)))
    products = Products(target, exact_batches(stars, nodes=NODES, batch=150), xi)
    flat, _ = ravel_pytree(xi)
    anchors = products.expand(flat)[2]
    metric = np.stack([products.multiply(flat, anchors, v) for v in jnp.eye(flat.size)])
    return products, flat, anchors, metric, stars


def half(problem, most):
    products, flat, _, _, stars = problem
    return half_of(products, flat, stars, jax.random.key(1), nodes=NODES, most=most)


@pytest.mark.parametrize("most", [40, 10_000])
def test_a_factor_and_its_transpose_and_determinant_are_those_of_one_matrix(problem, most):
    one, size = half(problem, most), problem[1].size
    matrix = np.stack([one(v) for v in jnp.eye(size)], axis=1)
    transposed = np.stack([one.transposed(v) for v in jnp.eye(size)], axis=1)
    np.testing.assert_allclose(matrix.T, transposed, atol=1e-14)
    assert one.log_determinant == pytest.approx(np.linalg.slogdet(matrix)[1], abs=1e-9)


def test_a_factor_brings_the_metric_near_one(problem):
    metric = problem[3]
    before = np.linalg.cond(metric)
    # a block of everything leaves what modes do to the variance of stars
    for most, enough in ((40, 0.2 * before), (10_000, 10)):
        one = half(problem, most)
        matrix = np.stack([one(v) for v in jnp.eye(len(metric))], axis=1)
        assert np.linalg.cond(matrix @ metric @ matrix.T) < enough


@pytest.mark.parametrize("most", [40, 10_000])
def test_the_determinant_by_few_products_is_that_of_the_dense_metric(problem, most):
    products, flat, anchors, metric, _ = problem
    one = half(problem, most)
    found = log_determinant(
        lambda v: one(products.multiply(flat, anchors, one.transposed(v))),
        jnp.zeros_like(flat),
        jax.random.key(2),
        probes=16,
        steps=60,
        least=1e-300,
        tolerance=0.01,
    )
    value = found.value - 2 * one.log_determinant
    expected = np.linalg.slogdet(metric)[1]
    assert found.settled
    assert found.products < 16 * 60
    assert abs(value - expected) < 4 * found.standard_error + 0.05
    assert found.standard_error < 4.0
