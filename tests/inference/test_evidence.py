"""The evidence: the density of the data where all is linear and Gaussian; determinants by LU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.stats import multivariate_normal
from tests.inference.small import observations
from tests.inference.test_newton import linear_problem, wiener

from dust3d.errors import FitError
from dust3d.inference.evidence import (
    dense_log_determinant,
    lanczos,
    laplace_evidence,
    log_determinant,
)
from dust3d.inference.newton import polish


def stiff(size=60, seed=0):
    """A matrix 1 + something of eight decades, and its logarithm of determinant."""
    generator = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(generator.standard_normal((size, size)))
    matrix = np.eye(size) + (basis * np.logspace(-3, 5, size)) @ basis.T
    return matrix, np.linalg.slogdet(matrix)[1]


def test_the_evidence_is_the_density_of_the_data_where_all_is_linear_and_gaussian():
    stars = observations(60)
    problem, start = linear_problem(stars)
    xi, _ = polish(problem, start, max_steps=2, tolerance=0.0, title="linear")
    flat, _ = ravel_pytree(xi)
    _, metric = problem.gradient_and_metric(flat)
    found = laplace_evidence(problem.log_posterior(flat), dense_log_determinant(metric))
    # A_obs ~ N(A_0, N + R R^T), from the information of the twin: R^T N^-1 R = M - 1
    _, inverse = wiener(stars)
    response = response_of(problem, flat)
    np.testing.assert_allclose(
        np.eye(3) + response.T @ (response / stars.sigma[:, None] ** 2), inverse, rtol=1e-8
    )
    covariance = np.diag(stars.sigma**2) + response @ response.T
    expected = multivariate_normal(stars.distances, covariance).logpdf(stars.extinction)
    assert found == pytest.approx(expected, abs=1e-6)


def response_of(problem, flat):
    """Derivatives of each star's extinction in the parameters."""

    def extinctions(flat):
        xi = problem._unravel(flat)
        field = problem._target.prior.field(xi["field"])
        first, _ = problem._rays.moments(field, jnp.asarray(0), False)
        return first

    assert problem._rays.batches == 1
    return np.asarray(jax.jacfwd(extinctions)(flat))


def test_lanczos_finds_all_eigenvalues_in_as_many_steps():
    matrix, _ = stiff(12)
    start = jnp.asarray(np.random.default_rng(1).standard_normal(12))
    diagonal, off = lanczos(lambda v: jnp.asarray(matrix) @ v, start, 12)
    small = np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1)
    np.testing.assert_allclose(np.linalg.eigvalsh(small), np.linalg.eigvalsh(matrix), rtol=1e-6)


def test_a_log_determinant_by_random_signs_is_right_within_its_error():
    matrix, expected = stiff()
    assert dense_log_determinant(matrix).value == pytest.approx(expected, rel=1e-12)
    found = log_determinant(
        lambda v: jnp.asarray(matrix) @ v,
        jnp.zeros(60),
        jax.random.key(0),
        probes=40,
        steps=60,
    )
    assert 0 < found.standard_error < 0.05 * expected
    assert abs(found.value - expected) < 3 * found.standard_error


def test_of_a_diagonal_matrix_random_signs_make_no_error():
    diagonal = jnp.asarray([1.0, 2.0, 5.0, 100.0])
    found = log_determinant(
        lambda v: diagonal * v, jnp.zeros(4), jax.random.key(3), probes=2, steps=4
    )
    assert found.value == pytest.approx(float(np.log(1000.0)), rel=1e-9)
    assert found.standard_error == pytest.approx(0, abs=1e-9)


def test_products_stop_once_they_change_nothing():
    matrix, _ = stiff()
    options = {"probes": 4, "steps": 60}
    every = log_determinant(
        lambda v: jnp.asarray(matrix) @ v, jnp.zeros(60), jax.random.key(0), **options
    )
    some = log_determinant(
        lambda v: jnp.asarray(matrix) @ v,
        jnp.zeros(60),
        jax.random.key(0),
        tolerance=0.1,
        **options,
    )
    assert every.products == 4 * 60
    assert some.settled
    assert some.products < every.products
    assert some.value == pytest.approx(every.value, abs=0.5)
    few = log_determinant(
        lambda v: jnp.asarray(matrix) @ v,
        jnp.zeros(60),
        jax.random.key(0),
        probes=4,
        steps=7,
        tolerance=1e-3,
    )
    assert not few.settled


def test_a_matrix_that_is_not_positive_has_no_evidence():
    with pytest.raises(FitError, match="not positive"):
        dense_log_determinant(np.diag([1.0, -1.0]))
