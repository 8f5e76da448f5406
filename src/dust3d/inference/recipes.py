"""Recipes of the workhorse: the phases that lead from a first guess to (near) the maximum."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from dust3d import processes
from dust3d.config.optimiser import Adam as AdamSettings
from dust3d.config.optimiser import Original, OriginalStage
from dust3d.fields.base import Field
from dust3d.fields.modes import fourier_modes
from dust3d.inference.accuracy import RayAccuracy, ray_accuracy
from dust3d.inference.adam import Adam
from dust3d.inference.feed import Feed, Scratch
from dust3d.inference.likelihood import Stars
from dust3d.inference.loop import Parameters, Phase
from dust3d.inference.memory import Budget
from dust3d.inference.original import (
    Coefficients,
    MomentumSGD,
    at_order,
    field_of,
    gaussian_score,
    random_start,
)
from dust3d.inference.prior import Xi, size_of
from dust3d.inference.settings import FitSettings
from dust3d.inference.sources import ResidentStars, StarSource, shuffled
from dust3d.inference.target import Sightlines, Target
from dust3d.keys import key_for
from dust3d.observations import Observations
from dust3d.progress import logger

_MOST_REFINEMENTS = 3
_SNAPSHOT_CELLS = 64

FitStars = Observations | StarSource


def snapshot_axes(half_widths: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """x and y [kpc] of the pictures that a history keeps."""
    cells = (np.arange(_SNAPSHOT_CELLS) + 0.5) / _SNAPSHOT_CELLS * 2 - 1
    return half_widths[0] * cells, half_widths[1] * cells


def snapshots_of(
    field: Callable[[Parameters], Field], half_widths: tuple[float, ...]
) -> Callable[[Parameters], np.ndarray]:
    """A function that draws ln rho in the plane z = 0."""
    x, y = (jnp.asarray(a) for a in snapshot_axes(half_widths))
    plane = (x, y) if len(half_widths) == 2 else (x, y, jnp.zeros(1))

    @eqx.filter_jit
    def draw(parameters: Parameters):
        picture = field(parameters).on_grid(plane)
        return picture.reshape(len(x), len(y))

    return lambda parameters: np.asarray(draw(parameters), dtype=np.float32)


class _Recipe:
    """What both recipes know of their stars."""

    def __init__(
        self,
        settings: FitSettings,
        train: FitStars,
        heldout: FitStars,
        seed: int,
        parameters: int,
        budget: Budget | None,
        scratch: Scratch | None,
    ):
        if isinstance(train, Observations):
            train = ResidentStars(train, seed, shuffled(len(train), seed))
        if isinstance(heldout, Observations):
            heldout = ResidentStars(heldout, seed)
        self.settings, self.train, self.seed = settings, train, seed
        budget = budget or Budget(settings.optimiser.stream, settings.optimiser.memory_gb)
        self.feed = Feed(settings, train, heldout, seed, budget, parameters, scratch)


class AdamRecipe(_Recipe):
    """Adam; then, while the rays are not exact enough on the fitted field, finer ones.

    Parameters
    ----------
    settings, train, heldout, seed
        The fit, its stars, the run's seed.
    target
        The posterior.
    start
        Whitened parameters to begin with; none: the prior's own.
    budget
        The memory that the fit may take; none: as configured.
    scratch
        Where rays are kept on disk, if they are streamed.
    """

    def __init__(
        self,
        settings: FitSettings,
        train: FitStars,
        heldout: FitStars,
        seed: int,
        target: Target,
        start: Xi | None,
        budget: Budget | None = None,
        scratch: Scratch | None = None,
    ):
        parameters = jax.eval_shape(target.start, jax.random.key(0))
        super().__init__(settings, train, heldout, seed, size_of(parameters), budget, scratch)
        self._target, self._start = target, start
        self.accuracy: RayAccuracy | None = None
        self.heldout_score: Callable[[Xi], float] = lambda xi: np.nan

    def first(self) -> Xi:
        """The lower order's field, or the prior's start."""
        if self._start is not None:
            return self._start
        return self._target.start(key_for(self.seed, f"start of {self.settings.name}"))

    def enter(self, number: int, parameters: Xi) -> Xi:
        """Go on from where the coarser rays ended."""
        return parameters

    def _schedule(self, number: int) -> AdamSettings:
        adam = self.settings.adam
        if number == 0:
            return adam
        last = adam.learning_rate[1]
        rates = (min(adam.learning_rate[0], 10 * last), last)
        return adam.model_copy(update={"epochs": max(1, adam.epochs // 4), "learning_rate": rates})

    def phase(self, number: int) -> Phase:
        """Adam on rays that were made finer `number` times."""
        batches, heldout = self.feed.both(refinements=number)
        likelihood = eqx.filter_jit(self._target.log_likelihood)

        def score(xi: Xi) -> float:
            found = sum(float(likelihood(xi, *batch)) for batch in heldout.walk())
            return float(processes.total(found)) / heldout.number

        self.heldout_score = score
        return Phase(
            Adam(self._target, batches, self._schedule(number)),
            score,
            snapshots_of(
                lambda xi: self._target.prior.field(xi["field"]),
                self.settings.box.half_widths_kpc,
            ),
        )

    def measure(self, number: int, parameters: Xi) -> RayAccuracy:
        """How exact the rays are on the field as it is now."""
        settings = self.settings
        self.accuracy = ray_accuracy(
            self._target.prior.field(parameters["field"]),
            *self.feed.sample(refinements=number),
            first_nodes=settings.first_nodes(self.train.reach_kpc),
            limit_sigma=settings.rays.exact.max_error_sigma,
        )
        error = self.accuracy.error_sigma_p99
        logger.info("%s: rays are within %.3g sigma for 99 %% of stars", settings.name, error)
        return self.accuracy

    def finished(self, number: int, parameters: Xi) -> bool:
        """Whether the rays are exact enough on the field as it is now."""
        settings = self.settings
        error = self.measure(number, parameters).error_sigma_p99
        limit = settings.rays.production.max_error_sigma
        if settings.ray_method == "exact":
            limit = settings.rays.exact.max_error_sigma
        if error <= limit or settings.ray_method == "reference":
            return True
        if number >= _MOST_REFINEMENTS:
            logger.warning(
                "%s: after %d refinements rays are within %.3g sigma only (limit %.3g); raise "
                "rays.production.oversampling",
                settings.name,
                number,
                error,
                limit,
            )
            return True
        logger.info("%s: above the limit of %.3g sigma: finer rays", settings.name, limit)
        return False


class OriginalRecipe(_Recipe):
    """The original experiment: a phase for each of its stages, raising the order.

    Parameters
    ----------
    settings, train, heldout, seed
        The fit, its stars, the run's seed.
    start
        Coefficients and order to begin with; none: small random ones.
    budget
        The memory that the fit may take; none: as configured.
    scratch
        Where rays are kept on disk, if they are streamed.
    """

    def __init__(
        self,
        settings: FitSettings,
        train: FitStars,
        heldout: FitStars,
        seed: int,
        start: tuple[Coefficients, tuple[int, ...]] | None,
        budget: Budget | None = None,
        scratch: Scratch | None = None,
    ):
        assert isinstance(settings.optimiser.method, Original)
        assert settings.fourier is not None
        parameters = 2 * len(fourier_modes(settings.order, settings.fourier.ball)) + 1
        super().__init__(settings, train, heldout, seed, parameters, budget, scratch)
        self._method, self._start = settings.optimiser.method, start
        self._ball = settings.fourier.ball

    @property
    def stages(self) -> tuple[OriginalStage, ...]:
        """The stages that this fit goes through."""
        return self._method.stages

    def _order(self, number: int) -> tuple[int, ...]:
        return self.stages[number].order

    def first(self) -> Coefficients:
        """The lower order's coefficients, or small random ones of the first stage's order."""
        if self._start is not None:
            return self._start[0]
        key = key_for(self.seed, f"start of {self.settings.name}")
        box = self.settings.box.half_widths_kpc
        return random_start(key, self._order(0), box, self._ball, self._method, self.settings.dtype)

    def enter(self, number: int, parameters: Coefficients) -> Coefficients:
        """Raise the order to that of the stage."""
        below = self._order(number - 1) if number else self._order(0)
        if number == 0 and self._start is not None:
            below = self._start[1]
        box = self.settings.box.half_widths_kpc
        return at_order(parameters, below, self._order(number), box, self._ball)

    def phase(self, number: int) -> Phase:
        """Momentum SGD by the stage's schedules."""
        settings, order = self.settings, self._order(number)
        box = settings.box.half_widths_kpc
        batches, heldout = self.feed.both(order=order)

        @eqx.filter_jit
        def squares(coefficients: Coefficients, rays: Sightlines, batch: jax.Array, stars: Stars):
            field = field_of(coefficients, order, box, self._ball)
            found, _ = rays.moments(field, batch, False)
            return jnp.sum(stars.weight * (stars.extinction - found) ** 2)

        def score(coefficients: Coefficients) -> float:
            found = sum(float(squares(coefficients, *batch)) for batch in heldout.walk())
            return float(gaussian_score(jnp.log(processes.total(found) / heldout.number)))

        return Phase(
            MomentumSGD(
                self.stages[number],
                self._method,
                batches,
                box,
                self._ball,
                settings.dtype,
            ),
            score,
            snapshots_of(lambda c: field_of(c, order, box, self._ball), box),
        )

    def finished(self, number: int, parameters: Coefficients) -> bool:
        """Whether this was the last stage."""
        return number + 1 >= len(self.stages)

    def final_field(self, parameters: Coefficients) -> Field:
        """The field of the last stage's coefficients."""
        box = self.settings.box.half_widths_kpc
        return field_of(parameters, self._order(len(self.stages) - 1), box, self._ball)
