"""Steps straight in the density: ln rho moves by ln(1 + u), and never falls by half at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from tests.inference.small import fit_settings, white

from dust3d.inference.build import target_for
from dust3d.inference.prior import SumPrior
from dust3d.inference.retraction import bent

FLOAT = jnp.dtype("float64")
VERTICAL = {"mean": {"kind": "vertical", "knots_kpc": [0, 0.1, 0.3]}}
PLACES = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (200, 3)) * (1.0, 0.8, 0.4))


def prior_of(order=(2, 2, 1), box=(1.0, 0.8, 0.4), prior=None):
    settings = fit_settings(order, box, prior={"std": 1.0} | (prior or {}))
    prior = target_for(settings, 2, 1, FLOAT).prior
    assert isinstance(prior, SumPrior)
    return prior


def moved(xi, direction, length):
    return jax.tree.map(lambda a, d: a + length * d, xi, direction)


@pytest.mark.parametrize("options", [{}, {"prior": VERTICAL}, {"order": (3, 2), "box": (1.0, 0.8)}])
def test_short_steps_are_straight_to_second_order(options):
    prior = prior_of(**options)
    start = white(prior.start(jax.random.key(0)))
    direction = white(start, seed=1)

    def off(length):
        straight = moved(start, direction, length)
        return np.linalg.norm(
            ravel_pytree(bent(prior, start, straight))[0] - ravel_pytree(straight)[0]
        )

    assert off(0.0) == 0
    assert 0 < off(0.01) < 0.1
    assert off(0.01) / off(0.005) == pytest.approx(4, rel=0.1)


def test_ln_density_moves_by_the_logarithm_of_a_smooth_step():
    prior = prior_of((8, 8, 4))
    start = white(prior.start(jax.random.key(0)))
    direction = jax.tree.map(jnp.zeros_like, start)
    varying = direction["varying"]
    # the longest modes alone: what ln(1 + u) makes of them the series can follow
    varying["cos"] = varying["cos"].at[:2].set(0.3)
    varying["sin"] = varying["sin"].at[:2].set(-0.2)
    direction["mean"]["mean"] = jnp.asarray(0.1)
    after = bent(prior, start, moved(start, direction, 1.0))
    before = prior.field(start).at(PLACES)
    step = prior.field(moved(start, direction, 1.0)).at(PLACES) - before
    assert np.ptp(step) > 0.2
    assert step.min() > -0.4
    found = prior.field(after).at(PLACES) - before
    np.testing.assert_allclose(found, np.log1p(step), atol=2e-3)
    assert np.abs(step - np.log1p(step)).max() > 0.05


@pytest.mark.parametrize("mean", [{}, VERTICAL])
@pytest.mark.parametrize(("u", "factor"), [(1.5, 2.5), (-0.3, 0.7), (-4, 0.5)])
def test_a_mean_moves_by_the_logarithm_and_by_half_at_most(mean, u, factor):
    prior = prior_of(prior=mean)
    start = white(prior.start(jax.random.key(0)))
    straight = {**start, "mean": prior.parts["mean"].raised(start["mean"], jnp.asarray(float(u)))}
    after = bent(prior, start, straight)
    found = prior.field(after).at(PLACES) - prior.field(start).at(PLACES)
    np.testing.assert_allclose(found, np.log(factor), atol=1e-6)


def test_long_steps_drill_no_holes():
    prior = prior_of((6, 6, 3))
    start = prior.start(jax.random.key(0))
    direction = white(start, seed=3)
    straight = moved(start, direction, 10.0)
    straight["mean"] = start["mean"]
    before = prior.field(start).at(PLACES)
    fall = prior.field(straight).at(PLACES) - before
    found = prior.field(bent(prior, start, straight)).at(PLACES) - before
    assert fall.min() < -5
    # half, and what the series cannot follow
    assert found.min() > -1.5
    assert found.max() < 0.6 * fall.max()
