"""The original experiment's optimiser: momentum SGD on a penalised log mean square.

Objective: ln(mean residual^2) + w sum_k k^gamma (a_k^2 + b_k^2), over batches, with
staircase schedules for the learning rate and linear ones for log10 w and gamma. It
is no posterior: it stays so that the original experiment can be run.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from dust3d.config.optimiser import Original as OriginalSettings
from dust3d.config.optimiser import OriginalStage
from dust3d.fields.base import Field
from dust3d.fields.fourier import FourierField, change_order
from dust3d.fields.mean import ConstantMean
from dust3d.fields.modes import fourier_modes, wavenumbers
from dust3d.fields.sum import SumField
from dust3d.inference.batches import StarBatches
from dust3d.inference.devices import everywhere, star_mesh, stepper
from dust3d.inference.likelihood import Stars
from dust3d.inference.target import Sightlines

Coefficients = dict[str, Array]


def random_start(
    key: jax.Array,
    order: Sequence[int],
    half_widths: Sequence[float],
    ball: bool,
    settings: OriginalSettings,
    dtype: jnp.dtype,
) -> Coefficients:
    """Small random coefficients of a steep spectrum, and a mean of 0."""
    modes = fourier_modes(order, ball)
    k = wavenumbers(modes, half_widths)
    scale = settings.start_amplitude * (k / k.min()) ** -settings.start_slope
    noise = jax.random.normal(key, (2, len(modes)), dtype) * jnp.asarray(scale, dtype)
    return {"cos": noise[0], "sin": noise[1], "mean": jnp.zeros((), dtype)}


def field_of(
    coefficients: Coefficients, order: Sequence[int], half_widths: Sequence[float], ball: bool
) -> Field:
    """The field of these coefficients."""
    series = FourierField(order, half_widths, coefficients["cos"], coefficients["sin"], ball)
    return SumField((series, ConstantMean(coefficients["mean"])))


def at_order(
    coefficients: Coefficients,
    order: Sequence[int],
    new_order: Sequence[int],
    half_widths: Sequence[float],
    ball: bool,
) -> Coefficients:
    """The same coefficients at another order."""
    series = FourierField(order, half_widths, coefficients["cos"], coefficients["sin"], ball)
    raised = change_order(series, new_order, ball)
    return {"cos": raised.cos, "sin": raised.sin, "mean": coefficients["mean"]}


def staircase(first: float, last: float, drops: int, steps: int) -> np.ndarray:
    """Learning rates that fall from first to last in equal factors, at equal intervals."""
    stair = np.minimum(np.arange(steps) * (drops + 1) // max(1, steps), drops)
    return first * (last / first) ** (stair / drops)


def gaussian_score(ln_mean_square: Float[Array, ""]) -> Float[Array, ""]:
    """Mean log density per star of a Gaussian whose variance is the mean square of residuals."""
    return -0.5 * (ln_mean_square + jnp.log(2 * jnp.pi) + 1)


class MomentumSGD:
    """One stage of the original recipe.

    Parameters
    ----------
    stage, settings
        The stage and what all stages share.
    batches
        The stars and the sightlines to them.
    half_widths, ball
        Of the field.
    """

    def __init__(
        self,
        stage: OriginalStage,
        settings: OriginalSettings,
        batches: StarBatches,
        half_widths: Sequence[float],
        ball: bool,
        dtype: jnp.dtype,
    ):
        self.epochs, self.batches = stage.epochs, batches.count
        self._stars = batches
        steps = self.epochs * self.batches
        rates = jnp.asarray(staircase(*stage.learning_rate, stage.drops, steps), dtype)
        weights = jnp.asarray(10 ** np.linspace(*stage.log10_weight, steps), dtype)
        gammas = jnp.asarray(np.linspace(*stage.gamma, steps), dtype)
        k = jnp.asarray(wavenumbers(fourier_modes(stage.order, ball), half_widths), dtype)
        self._optimiser = optax.chain(
            optax.clip_by_global_norm(settings.clip_norm),
            optax.sgd(lambda count: rates[count], momentum=settings.momentum),
        )

        def squares(
            coefficients: Coefficients, rays: Sightlines, batch: jax.Array, stars: Stars
        ) -> jax.Array:
            field = field_of(coefficients, stage.order, half_widths, ball)
            extinction, _ = rays.moments(field, batch, False)
            return jnp.sum(stars.weight * (stars.extinction - extinction) ** 2)

        def penalty(coefficients: Coefficients, step: jax.Array) -> jax.Array:
            power = coefficients["cos"] ** 2 + coefficients["sin"] ** 2
            return weights[step] * jnp.sum(k ** gammas[step] * power)

        def seen(coefficients: Coefficients, rays: Sightlines, batch: jax.Array, stars: Stars):
            value, gradient = jax.value_and_grad(squares)(coefficients, rays, batch, stars)
            return value, gradient, jnp.sum(stars.weight)

        def update(coefficients: Coefficients, state: Any, sums: Any, step: jax.Array):
            square, by_square, weight = sums
            data = jnp.log(square / weight)
            cost, by_cost = jax.value_and_grad(penalty)(coefficients, step)
            gradient = jax.tree.map(lambda a, b: a / square + b, by_square, by_cost)
            updates, state = self._optimiser.update(gradient, state, coefficients)
            found = optax.apply_updates(coefficients, updates)
            return found, state, data + cost, gaussian_score(data)

        self._step = stepper(seen, update)

    def start(self, parameters: Coefficients) -> Any:
        """Zero momentum."""
        return self._optimiser.init(parameters)

    def prefetch(self, batch: int) -> None:
        """Begin to make the stars of a later step ready."""
        self._stars.prefetch(batch)

    def step(self, parameters: Coefficients, state: Any, batch: int, step: int):
        """One step on one batch."""
        parameters, state = everywhere((parameters, state), star_mesh())
        return self._step(parameters, state, (jnp.asarray(step),), self._stars.at(batch))
