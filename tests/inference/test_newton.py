"""Gauss-Newton steps: the exact solution where there is one, derivatives, the rise of ln p."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float
from tests.inference.small import FULL_LIKELIHOOD, fit_settings, observations, white

from dust3d.config.model import Likelihood as LikelihoodSettings
from dust3d.config.model import Parameter
from dust3d.fields.base import Field
from dust3d.inference.batches import NodeSightlines, stars_of
from dust3d.inference.build import target_for
from dust3d.inference.dense import DenseProblem
from dust3d.inference.likelihood import Likelihood
from dust3d.inference.newton import polish
from dust3d.inference.prior import white_log_density
from dust3d.inference.target import Target
from dust3d.rays.nodes import moments

NODES = 24
FLOAT = jnp.dtype("float64")


def bumps(positions):
    """Three smooth functions of position, none of them even."""
    x, y = positions[..., 0], positions[..., 1]
    return jnp.stack([jnp.cos(2 * x + 0.3), jnp.sin(x - 2 * y), jnp.cos(3 * y + 1)], axis=-1)


class LinearField(Field):
    """rho = 1 + sum of bumps: linear in its parameters."""

    weights: Float[Array, "3"]

    def __call__(self, position):
        return jnp.log(1 + bumps(position) @ self.weights)


class LinearPrior(eqx.Module):
    """Weights ~ N(0, 0.1^2)."""

    def start(self, key):
        return {"bumps": jnp.zeros(3)}

    def field(self, xi):
        return LinearField(0.1 * xi["bumps"])

    def log_density(self, xi):
        return white_log_density(xi)


def linear_problem(stars):
    settings = LikelihoodSettings(error_inflation=Parameter(median=1.0, fit=False))
    target = Target(LinearPrior(), Likelihood(settings, 2, FLOAT))
    start = target.start(jax.random.key(0))
    return DenseProblem(target, stars, NODES, start), start


def wiener(stars):
    """(1 + R^T N^-1 R)^-1 R^T N^-1 (A_obs - A_0), and the covariance, in plain numpy."""
    t, w = np.polynomial.legendre.leggauss(60)
    points = (0.5 + 0.5 * t)[None, :, None] * stars.positions[:, None, :]
    response = 0.1 * np.einsum("q,nqb->nb", w / 2, np.asarray(bumps(points)))
    response *= stars.distances[:, None]
    weighted = response / stars.sigma[:, None] ** 2
    inverse = np.eye(3) + response.T @ weighted
    return np.linalg.solve(inverse, weighted.T @ (stars.extinction - stars.distances)), inverse


def test_one_step_lands_on_the_wiener_solution_where_all_is_linear_and_gaussian():
    stars = observations(60)
    noise = np.random.default_rng(0).normal(0, stars.sigma)
    stars = replace(stars, extinction=stars.distances + noise)
    problem, start = linear_problem(stars)
    expected, inverse = wiener(stars)
    xi, steps = polish(problem, start, max_steps=1, tolerance=0.0, title="linear")
    np.testing.assert_allclose(xi["field"]["bumps"], expected, rtol=1e-8, atol=1e-10)
    assert steps[0].length == 1
    # quadratic: the gain is the predicted one, and nothing is left to gain
    gain = steps[1].log_posterior - steps[0].log_posterior
    assert gain == pytest.approx(steps[0].predicted_gain, rel=1e-8)
    assert steps[1].predicted_gain == pytest.approx(0, abs=1e-10)
    _, metric = problem.gradient_and_metric(ravel_pytree(start)[0])
    np.testing.assert_allclose(metric, inverse, rtol=1e-8, atol=1e-10)


def curved_problem(kind="student_t", n=60, form="cos_sin", order=(2, 2, 1)):
    likelihood = FULL_LIKELIHOOD | {"kind": kind}
    settings = fit_settings(order, form=form, likelihood=likelihood)
    stars = observations(n)
    target = target_for(settings, 2, 1, FLOAT)
    xi = white(target.start(jax.random.key(0)))
    return DenseProblem(target, stars, NODES, xi), target, stars, xi


def explicit(target, stars, xi):
    """Expected extinction and ln variance of all stars as one function of flat parameters."""
    flat, unravel = ravel_pytree(xi)
    rows = np.arange(len(stars))
    measured = stars_of(stars, rows, FLOAT)

    def outputs(flat):
        xi = unravel(flat)
        first, second = moments(
            target.prior.field(xi["field"]), jnp.asarray(stars.positions), nodes=NODES
        )
        nuisance = target.likelihood.nuisance(xi["likelihood"])
        mean, variance = target.likelihood.moments(nuisance, first, second, measured)
        return mean, jnp.log(variance)

    return flat, outputs


def test_log_posterior_is_that_of_the_target():
    problem, target, stars, xi = curved_problem()
    rows = np.arange(len(stars))[None]
    rays = NodeSightlines(stars.positions, rows, NODES, FLOAT)
    one = jax.tree.map(lambda a: a[0], stars_of(stars, rows, FLOAT))
    expected = target.log_likelihood(xi, rays, jnp.asarray(0), one) + target.log_prior(xi)
    assert problem.log_posterior(ravel_pytree(xi)[0]) == pytest.approx(float(expected), rel=1e-10)


@pytest.mark.parametrize("form", ["cos_sin", "amplitude_phase"])
def test_gradient_is_a_finite_difference(form):
    problem, _, _, xi = curved_problem(form=form)
    flat, _ = ravel_pytree(xi)
    gradient, _ = problem.gradient_and_metric(flat)
    generator, step = np.random.default_rng(2), 1e-4
    for _ in range(4):
        direction = generator.standard_normal(flat.size)
        direction /= np.linalg.norm(direction)
        up, down = (problem.log_posterior(flat + s * step * direction) for s in (1, -1))
        slope = (up - down) / (2 * step)
        assert slope == pytest.approx(gradient @ direction, abs=1e-5 * np.linalg.norm(gradient))


@pytest.mark.parametrize("kind", ["gaussian", "student_t"])
def test_metric_is_made_of_the_explicit_jacobian(kind):
    problem, target, stars, xi = curved_problem(kind)
    flat, outputs = explicit(target, stars, xi)
    by_mean, by_ln_variance = jax.jit(jax.jacfwd(outputs))(flat)
    variance = jnp.exp(outputs(flat)[1])
    about_mean, about_ln_variance = target.likelihood.fisher(variance)
    expected = (
        np.eye(flat.size)
        + (by_mean.T * about_mean) @ by_mean
        + about_ln_variance * by_ln_variance.T @ by_ln_variance
    )
    _, metric = problem.gradient_and_metric(flat)
    np.testing.assert_allclose(metric, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["gaussian", "student_t"])
def test_metric_is_the_scatter_of_the_score_over_skies_drawn_from_the_model(kind):
    problem, target, stars, xi = curved_problem(kind)
    flat, outputs = explicit(target, stars, xi)
    (mean, ln_variance), pull = jax.vjp(outputs, flat)
    draws = 4000
    generator = np.random.default_rng(4)
    shape = (draws, len(stars))
    if kind == "gaussian":
        noise = generator.standard_normal(shape)
    else:
        noise = generator.standard_t(4, shape)

    def score(noise):
        observed = mean + jnp.exp(ln_variance / 2) * noise
        by_output = jax.grad(
            lambda m, v: jnp.sum(target.likelihood.log_density(observed, m, jnp.exp(v))), (0, 1)
        )(mean, ln_variance)
        return pull(by_output)[0]

    scores = np.asarray(jax.jit(jax.vmap(score))(jnp.asarray(noise)))
    assert scores.shape == (draws, flat.size)
    _, metric = problem.gradient_and_metric(flat)
    for direction in np.random.default_rng(5).standard_normal((5, flat.size)):
        squares = (scores @ direction) ** 2
        expected = direction @ (metric - np.eye(flat.size)) @ direction
        error = squares.std() / np.sqrt(draws)
        assert squares.mean() == pytest.approx(expected, abs=4 * error)


def test_chunks_of_any_size_give_one_answer():
    problem, target, stars, xi = curved_problem()
    flat, _ = ravel_pytree(xi)
    whole = problem.gradient_and_metric(flat)
    few = stars.take(np.arange(23))
    rest = stars.take(np.arange(23, len(stars)))
    parts = [
        DenseProblem(target, some, NODES, xi).gradient_and_metric(flat) for some in (few, rest)
    ]
    prior = np.asarray(jax.grad(lambda v: -0.5 * jnp.sum(v**2))(flat))
    np.testing.assert_allclose(whole[0] + prior, parts[0][0] + parts[1][0], rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(
        whole[1] + np.eye(flat.size), parts[0][1] + parts[1][1], rtol=1e-9, atol=1e-8
    )


@pytest.mark.parametrize("form", ["cos_sin", "amplitude_phase"])
def test_ln_posterior_rises_with_each_step_until_little_is_left(form):
    problem, target, _, _ = curved_problem(form=form, n=200)
    start = target.start(jax.random.key(0))
    xi, steps = polish(problem, start, max_steps=40, tolerance=1e-3, title="curved")
    values = [step.log_posterior for step in steps]
    assert np.all(np.diff(values) > 0)
    assert steps[-1].predicted_gain < 1e-3
    assert steps[-1].length == 0
    assert all(0 < step.length <= 1 for step in steps[:-1])
    np.testing.assert_allclose(problem.log_posterior(ravel_pytree(xi)[0]), values[-1])
    # the maximum itself: no direction is left that rises
    gradient, _ = problem.gradient_and_metric(ravel_pytree(xi)[0])
    at_start, _ = problem.gradient_and_metric(ravel_pytree(start)[0])
    assert np.linalg.norm(gradient) < 0.02 * np.linalg.norm(at_start)


def test_without_steps_the_field_stays_and_the_gain_that_is_left_is_stated():
    problem, _, _, xi = curved_problem()
    same, steps = polish(problem, xi, max_steps=0, tolerance=1e-3, title="none")
    np.testing.assert_array_equal(ravel_pytree(same)[0], ravel_pytree(xi)[0])
    assert len(steps) == 1
    assert steps[0].length == 0
    assert steps[0].predicted_gain > 1e-3
