"""The posterior over batches: gradients, fill rows, and Adam's steps on it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy import stats as scipy_stats
from tests.inference.small import FULL_LIKELIHOOD, fit_settings, observations, white

from dust3d.config.optimiser import Adam as AdamSettings
from dust3d.inference.adam import Adam
from dust3d.inference.batches import Batches, batch_rows, stars_of
from dust3d.inference.build import sightlines_for, target_for

METHODS = ["production", "exact", "reference"]
FLOAT = jnp.dtype("float64")


def problem_rows(n=10, batch=4):
    return batch_rows(n, batch, np.random.default_rng(3))


def problem(method, *, likelihood=None, batch=4, stars=None, **options):
    """Target, sightlines, stars in batches and whitened parameters of a small fit."""
    rays = {
        "method": method,
        "production": {"oversampling": 4},
        "reference": {"rtol": 1e-9, "atol": 1e-11},
    }
    likelihood = FULL_LIKELIHOOD if likelihood is None else likelihood
    settings = fit_settings(rays=rays, likelihood=likelihood, **options)
    stars = observations() if stars is None else stars
    target = target_for(settings, len(stars.class_names), 1, settings.dtype)
    rows = problem_rows(len(stars), batch)
    rays = sightlines_for(settings, stars.positions, rows)
    batches = stars_of(stars, rows, settings.dtype)
    return target, rays, batches, white(target.start(jax.random.key(0)))


def total(target, rays, batches, xi):
    """ln p of all stars, batch by batch."""

    @jax.jit
    def one(xi, batch):
        some = jax.tree.map(lambda a: a[batch], batches)
        return target.log_likelihood(xi, rays, batch, some)

    return sum(float(one(xi, jnp.asarray(i))) for i in range(rays.batches))


@pytest.mark.parametrize(
    ("n", "batch", "shape"), [(10, 4, (3, 4)), (10, 100, (1, 10)), (12, 4, (3, 4)), (7, 3, (3, 3))]
)
def test_batches_hold_every_star_once_and_fill_up_with_none(n, batch, shape):
    rows = batch_rows(n, batch, np.random.default_rng(0))
    assert rows.shape == shape
    assert sorted(rows[rows >= 0]) == list(range(n))
    stars = stars_of(observations(n), rows, FLOAT)
    np.testing.assert_array_equal(np.asarray(stars.weight) > 0, rows >= 0)


@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_finite_differences(method):
    # a second moment would make the reference solve twice
    likelihood = {} if method == "reference" else None
    target, rays, batches, xi = problem(method, likelihood=likelihood)
    flat, unravel = ravel_pytree(xi)
    one = jax.tree.map(lambda a: a[0], batches)

    @jax.jit
    def log_posterior(flat):
        xi = unravel(flat)
        return target.log_likelihood(xi, rays, jnp.asarray(0), one) + target.log_prior(xi)

    gradient = jax.grad(log_posterior)(flat)
    assert gradient.shape == flat.shape
    step, generator = 1e-4, np.random.default_rng(8)
    for _ in range(4):
        direction = generator.standard_normal(flat.size)
        direction /= np.linalg.norm(direction)
        up, down = (float(log_posterior(flat + s * step * direction)) for s in (1, -1))
        slope = (up - down) / (2 * step)
        norm = float(jnp.linalg.norm(gradient))
        assert slope == pytest.approx(float(gradient @ direction), abs=1e-5 * norm)


@pytest.mark.parametrize("method", ["production", "exact"])
def test_batches_add_up_to_all_stars_and_fill_rows_count_nothing(method):
    parts = problem(method, batch=4)
    whole = problem(method, batch=100)
    assert parts[1].batches == 3
    assert np.sum(parts[2].weight) == 10
    assert total(*parts) == pytest.approx(total(*whole), rel=1e-6)


def test_all_ray_paths_agree_on_the_posterior():
    values = [total(*problem(method)) for method in METHODS]
    assert values[2] == pytest.approx(values[1], rel=1e-6)
    # the grid's error shrinks with its voxels: coarse here
    assert values[0] == pytest.approx(values[1], rel=0.05)


def test_the_posterior_of_one_star_is_the_textbook_one():
    stars = observations(1)
    target, rays, batches, xi = problem("exact", likelihood={}, stars=stars)
    zero = jax.tree.map(jnp.zeros_like, xi)
    # ln rho = ln 0.5 everywhere at the prior's centre
    expected = scipy_stats.norm.logpdf(
        stars.extinction[0], 0.5 * stars.distances[0], stars.sigma[0]
    )
    assert total(target, rays, batches, zero) == pytest.approx(expected, rel=1e-9)
    assert float(target.log_prior(zero)) == 0


# the reference integrates in double precision whatever it is given
@pytest.mark.parametrize("method", ["production", "exact"])
@pytest.mark.parametrize("mean", ["constant", "vertical"])
def test_single_precision_stays_single(method, mean):
    target, rays, batches, xi = problem(
        method,
        optimiser={"precision": "float32"},
        prior={"mean": {"kind": mean}},
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(xi)} == {jnp.dtype("float32")}
    one = jax.tree.map(lambda a: a[0], batches)
    shape = jax.eval_shape(lambda xi: target.log_likelihood(xi, rays, jnp.asarray(0), one), xi)
    assert shape.dtype == jnp.float32


def test_single_precision_stays_single_in_networks():
    mlp = {"mlp": {"layers": [[8]], "features": 4}}
    target, rays, batches, xi = problem("exact", optimiser={"precision": "float32"}, fits=mlp)
    one = jax.tree.map(lambda a: a[0], batches)
    shape = jax.eval_shape(lambda xi: target.log_likelihood(xi, rays, jnp.asarray(0), one), xi)
    assert shape.dtype == jnp.float32


def test_adam_takes_the_steps_of_the_paper_on_a_cosine_schedule():
    target, rays, batches, xi = problem("production")
    epochs, (first, last) = 2, (0.05, 0.001)
    whole = Batches(rays, observations(), problem_rows(), FLOAT)
    adam = Adam(target, whole, AdamSettings(epochs=epochs, learning_rate=(first, last)))
    assert (adam.epochs, adam.batches) == (2, 3)
    flat, unravel = ravel_pytree(xi)

    def loss(flat, batch):
        xi, one = unravel(flat), jax.tree.map(lambda a: a[batch], batches)
        likelihood = target.log_likelihood(xi, rays, batch, one) / jnp.sum(one.weight)
        return -likelihood - target.log_prior(xi) / 10, likelihood

    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
    state, m, v = adam.start(xi), np.zeros(flat.size), np.zeros(flat.size)
    for number, batch in enumerate([2, 0, 1, 1, 0]):
        (value, likelihood), g = gradient(flat, jnp.asarray(batch))
        g = np.asarray(g)
        m, v = 0.9 * m + 0.1 * g, 0.98 * v + 0.02 * g**2
        t = number + 1
        cosine = 0.5 * (1 + np.cos(np.pi * number / (epochs * 3)))
        rate = last + (first - last) * cosine
        update = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.98**t)) + 1e-8)
        flat = flat - rate * update
        xi, state, found, score = adam.step(xi, state, batch, number)
        assert float(found) == pytest.approx(float(value), rel=1e-9)
        assert float(score) == pytest.approx(float(likelihood), rel=1e-9)
        np.testing.assert_allclose(ravel_pytree(xi)[0], flat, rtol=1e-7, atol=1e-9)
