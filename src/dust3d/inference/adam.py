"""Minibatch Adam on the negative log posterior in whitened parameters."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from dust3d.config.optimiser import Adam as AdamSettings
from dust3d.inference.batches import StarBatches
from dust3d.inference.devices import everywhere, star_mesh
from dust3d.inference.likelihood import Stars
from dust3d.inference.prior import Xi
from dust3d.inference.target import Sightlines, Target


class Adam:
    """Adam (Kingma & Ba 2015), the learning rate falling as a cosine.

    Parameters
    ----------
    target
        The posterior.
    batches
        The stars and the sightlines to them.
    settings
        The section `optimiser.method` of the configuration.
    """

    def __init__(self, target: Target, batches: StarBatches, settings: AdamSettings):
        self.epochs, self.batches = settings.epochs, batches.count
        self._stars = batches
        first, last = settings.learning_rate
        schedule = optax.cosine_decay_schedule(
            first, self.epochs * self.batches, alpha=last / first
        )
        self._optimiser = optax.adam(schedule, b2=settings.b2)
        number = batches.number

        def loss(xi: Xi, rays: Sightlines, batch: jax.Array, stars: Stars):
            likelihood = target.log_likelihood(xi, rays, batch, stars) / jnp.sum(stars.weight)
            return -likelihood - target.log_prior(xi) / number, likelihood

        def step(xi: Xi, state: Any, *batch: Any):
            (value, likelihood), gradient = jax.value_and_grad(loss, has_aux=True)(xi, *batch)
            updates, state = self._optimiser.update(gradient, state, xi)
            return optax.apply_updates(xi, updates), state, value, likelihood

        self._step = eqx.filter_jit(step)

    def start(self, parameters: Xi) -> Any:
        """Zero moments."""
        return self._optimiser.init(parameters)

    def prefetch(self, batch: int) -> None:
        """Begin to make the stars of a later step ready."""
        self._stars.prefetch(batch)

    def step(self, parameters: Xi, state: Any, batch: int, step: int):
        """One step on one batch."""
        parameters, state = everywhere((parameters, state), star_mesh())
        return self._step(parameters, state, *self._stars.at(batch))
