"""Minibatch Adam on the negative log posterior in whitened parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from dust3d.config.optimiser import Adam as AdamSettings
from dust3d.inference.batches import StarBatches
from dust3d.inference.devices import everywhere, star_mesh, stepper
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

        def seen(xi: Xi, rays: Sightlines, batch: jax.Array, stars: Stars):
            value, gradient = jax.value_and_grad(target.log_likelihood)(xi, rays, batch, stars)
            return value, gradient, jnp.sum(stars.weight)

        def update(xi: Xi, state: Any, sums: Any):
            likelihood, by_likelihood, weight = sums
            prior, by_prior = jax.value_and_grad(target.log_prior)(xi)
            gradient = jax.tree.map(lambda a, b: -a / weight - b / number, by_likelihood, by_prior)
            updates, state = self._optimiser.update(gradient, state, xi)
            score = likelihood / weight
            return optax.apply_updates(xi, updates), state, -score - prior / number, score

        self._step = stepper(seen, update)

    def start(self, parameters: Xi) -> Any:
        """Zero moments."""
        return self._optimiser.init(parameters)

    def prefetch(self, batch: int) -> None:
        """Begin to make the stars of a later step ready."""
        self._stars.prefetch(batch)

    def step(self, parameters: Xi, state: Any, batch: int, step: int):
        """One step on one batch."""
        parameters, state = everywhere((parameters, state), star_mesh())
        return self._step(parameters, state, (), self._stars.at(batch))
