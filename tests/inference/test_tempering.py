"""Evidence by Laplace against thermodynamic integration at low order; an exact check of that."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.stats import multivariate_normal
from tests.inference.small import fit_settings
from tests.inference.tempering import thermodynamic_integral

from dust3d.inference.build import target_for
from dust3d.inference.dense import DenseProblem
from dust3d.inference.evidence import dense_log_determinant, laplace_evidence
from dust3d.inference.newton import polish
from dust3d.observations import Observations
from dust3d.rays.nodes import moments

NODES = 12
FLOAT = jnp.dtype("float64")
BOX = (1.0, 1.0)


@pytest.mark.slow
def test_the_integral_of_a_gaussian_is_its_closed_form():
    generator = np.random.default_rng(0)
    response, noise = generator.standard_normal((30, 5)), 0.5
    data = response @ generator.standard_normal(5) + noise * generator.standard_normal(30)

    def log_likelihood(flat):
        residual = (jnp.asarray(data) - jnp.asarray(response) @ flat) / noise
        return -0.5 * jnp.sum(residual**2) - 30 * jnp.log(noise * jnp.sqrt(2 * jnp.pi))

    covariance = response @ response.T + noise**2 * np.eye(30)
    expected = multivariate_normal(np.zeros(30), covariance).logpdf(data)
    found = thermodynamic_integral(log_likelihood, 5, key=jax.random.key(0))
    assert found.standard_error < 0.2
    assert abs(found.value - expected) < 4 * found.standard_error + 0.05


def sky(target, n, noise, seed=3):
    """Stars of a draw of the prior."""
    generator = np.random.default_rng(seed)
    xi = jax.tree.map(
        lambda a: jnp.asarray(generator.standard_normal(a.shape)), target.start(jax.random.key(0))
    )
    positions = generator.uniform(-0.8, 0.8, (n, 2))
    first, _ = moments(target.prior.field(xi["field"]), jnp.asarray(positions), nodes=NODES)
    observed = np.asarray(first) + noise * generator.standard_normal(n)
    return Observations(positions, observed, np.full(n, noise), np.zeros(n, int), ("A",))


@pytest.mark.slow
@pytest.mark.parametrize("order", [(1, 1), (2, 1)])
def test_laplace_is_within_a_nat_of_the_integral(order):
    likelihood = {"error_inflation": {"median": 1.0, "ln_std": 0.3}}
    settings = fit_settings(order, BOX, likelihood=likelihood)
    target = target_for(settings, 1, 1, FLOAT)
    stars = sky(target, 40, 0.2)
    start = target.start(jax.random.key(0))
    problem = DenseProblem(target, stars, NODES, start)
    xi, steps = polish(problem, start, max_steps=30, tolerance=1e-6, title="low order")
    flat, unravel = ravel_pytree(xi)
    _, metric = problem.gradient_and_metric(flat)
    found = laplace_evidence(steps[-1].log_posterior, dense_log_determinant(metric))
    positions = jnp.asarray(stars.positions)
    observed, sigma = jnp.asarray(stars.extinction), jnp.asarray(stars.sigma)

    def log_likelihood(flat):
        xi = unravel(flat)
        first, _ = moments(target.prior.field(xi["field"]), positions, nodes=NODES)
        inflation = target.likelihood.nuisance(xi["likelihood"]).error_inflation
        return jnp.sum(jax.scipy.stats.norm.logpdf(observed, first, inflation * sigma))

    expected = thermodynamic_integral(log_likelihood, flat.size, key=jax.random.key(1))
    assert expected.standard_error < 0.25
    assert abs(found - expected.value) < 1.0
