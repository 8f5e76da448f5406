"""Minibatch Adam on the negative log posterior in whitened parameters."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from dust3d.config.optimiser import Adam as AdamSettings
from dust3d.inference.likelihood import Stars
from dust3d.inference.prior import Xi
from dust3d.inference.target import Sightlines, Target


class Adam:
    """Adam (Kingma & Ba 2015), the learning rate falling as a cosine.

    Parameters
    ----------
    target
        The posterior.
    rays
        Sightlines to the stars, in batches.
    stars
        The measured stars, arrays of shape (batches, size).
    settings
        The section `optimiser.method` of the configuration.
    """

    def __init__(self, target: Target, rays: Sightlines, stars: Stars, settings: AdamSettings):
        self.epochs, self.batches = settings.epochs, rays.batches
        first, last = settings.learning_rate
        schedule = optax.cosine_decay_schedule(
            first, self.epochs * self.batches, alpha=last / first
        )
        self._optimiser = optax.adam(schedule, b2=settings.b2)
        number = jnp.sum(stars.weight)

        def loss(xi: Xi, batch: jax.Array):
            some = jax.tree.map(lambda array: array[batch], stars)
            likelihood = target.log_likelihood(xi, rays, batch, some) / jnp.sum(some.weight)
            return -likelihood - target.log_prior(xi) / number, likelihood

        def step(xi: Xi, state: Any, batch: jax.Array):
            (value, likelihood), gradient = jax.value_and_grad(loss, has_aux=True)(xi, batch)
            updates, state = self._optimiser.update(gradient, state, xi)
            return optax.apply_updates(xi, updates), state, value, likelihood

        self._step = eqx.filter_jit(step)

    def start(self, parameters: Xi) -> Any:
        """Zero moments."""
        return self._optimiser.init(parameters)

    def step(self, parameters: Xi, state: Any, batch: int, step: int):
        """One step on one batch."""
        return self._step(parameters, state, jnp.asarray(batch))
