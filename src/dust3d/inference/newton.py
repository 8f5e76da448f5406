"""Newton steps up to the maximum of a posterior, whichever way they are solved for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from dust3d import interrupts
from dust3d.errors import FitError
from dust3d.inference.prior import Xi
from dust3d.inference.stopping import asked_to_stop
from dust3d.progress import logger

_TRIALS = 8
# a trial is good if ln p rises by this part of what the slope promises
_RISE = 0.25
_CUT = (0.1, 0.7)


@dataclass(frozen=True)
class NewtonStep:
    """What one step did.

    Parameters
    ----------
    log_posterior
        ln p before the step, up to a constant.
    predicted_gain
        grad^T M^-1 grad / 2: what a full step would gain if ln p were quadratic.
    length
        The fraction of the full step that was taken; 0 for none.
    products
        Products with the metric that the step was solved with; 0 for a direct solution.
    settled
        Whether they were enough to know the gain.
    """

    log_posterior: float
    predicted_gain: float
    length: float
    products: int = 0
    settled: bool = True

    def shows_maximum(self, tolerance: float) -> bool:
        """Whether nobody would take the next step for what it would gain."""
        return self.settled and self.predicted_gain < tolerance


@dataclass(frozen=True)
class Uphill:
    """The way up from one place.

    Parameters
    ----------
    log_posterior
        ln p there, up to a constant.
    direction
        M^-1 grad ln p, or near it.
    slope
        grad ln p times the direction.
    predicted_gain
        What a full step along M^-1 grad ln p would gain if ln p were quadratic.
    products
        Products with the metric that it took.
    settled
        Whether they were enough to know the gain.
    """

    log_posterior: float
    direction: Float[Array, " p"]
    slope: float
    predicted_gain: float
    products: int
    settled: bool = True


@runtime_checkable
class Problem(Protocol):
    """A posterior that knows its way up."""

    def log_posterior(self, flat: Float[Array, " p"]) -> float:
        """ln p, up to a constant."""
        ...

    def uphill(self, flat: Float[Array, " p"]) -> Uphill:
        """A Newton step from here."""
        ...

    def along(
        self, flat: Float[Array, " p"], direction: Float[Array, " p"], length: float
    ) -> Float[Array, " p"]:
        """Where a part of a step leads: for short ones flat + length direction."""
        ...


def _climb(
    problem: Problem, flat: Float[Array, " p"], way: Uphill
) -> tuple[Float[Array, " p"], float, float]:
    """The full step, or a shorter one by the parabola through what is known.

    Returns
    -------
    The new place, ln p there, and the length of the step; 0 if no trial was better than staying.
    """
    best, best_value, best_length, length = flat, way.log_posterior, 0.0, 1.0
    for _ in range(_TRIALS):
        trial = problem.along(flat, way.direction, length)
        found = problem.log_posterior(trial)
        if found > best_value:
            best, best_value, best_length = trial, found, length
        elif best_length > 0:
            break
        risen = found - way.log_posterior
        if risen >= _RISE * way.slope * length:
            break
        fall = way.slope * length - risen
        parabola = 0.5 * way.slope * length**2 / fall if fall > 0 else _CUT[0] * length
        length = min(max(parabola, _CUT[0] * length), _CUT[1] * length)
    return best, best_value, best_length


def taken(steps: Sequence[NewtonStep]) -> int:
    """How many steps led somewhere."""
    return sum(step.length > 0 for step in steps)


def polish(
    problem: Problem,
    xi: Xi,
    *,
    max_steps: int,
    tolerance: float,
    title: str,
    before: Sequence[NewtonStep] = (),
    after: Callable[[Float[Array, " p"], list[NewtonStep], float], None] | None = None,
) -> tuple[Xi, list[NewtonStep]]:
    """Newton steps until the next one would gain less than `tolerance`.

    Parameters
    ----------
    problem
        The posterior.
    xi
        Whitened parameters to begin with.
    max_steps
        Steps at most, those before counted.
    tolerance
        Gain of ln p below which no step is taken.
    title
        Name of the fit.
    before
        Steps that led here.
    after
        Called after each step with the flattened parameters, all steps so far, and ln p there.

    Returns
    -------
    The whitened parameters, and what each step did, those before included; the last entry
    states the predicted gain that was left.

    Raises
    ------
    FitError
        If ln p or what a step would gain is not finite.
    Interrupted
        After a step, if the process was asked to end meanwhile.
    """
    flat, unravel = ravel_pytree(xi)
    steps = list(before)
    while True:
        way = problem.uphill(flat)
        value, gain = way.log_posterior, way.predicted_gain
        if not (np.isfinite(value) and np.isfinite(gain)):
            raise FitError(
                f"{title}: after {len(steps)} Newton steps ln posterior is {value:.3g}, and the "
                f"next would gain {gain:.3g}; lower the last of optimiser.method.learning_rate, "
                "or look for stars with absurd values"
            )
        logger.info("%s: Newton, ln posterior %.3f, next step would gain %.3g", title, value, gain)
        length, reached = 0.0, value
        here = NewtonStep(value, gain, 0.0, way.products, way.settled)
        if not here.shows_maximum(tolerance) and taken(steps) < max_steps:
            flat, reached, length = _climb(problem, flat, way)
            if length == 0:
                logger.warning(
                    "%s: no part of the step raises ln posterior, as far as the precision of "
                    "numbers tells; optimiser.precision: float64 tells more",
                    title,
                )
        steps.append(replace(here, length=length))
        if after is not None:
            after(flat, steps, reached)
        if asked_to_stop():
            interrupts.check()
        if length == 0:
            return unravel(flat), steps
