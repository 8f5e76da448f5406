"""The loop of a fit: epochs of steps, held-out scores, snapshots, checkpoints."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from dust3d import interrupts
from dust3d.errors import FitError
from dust3d.inference.ascent import Ascent
from dust3d.inference.stopping import asked_to_stop
from dust3d.keys import generator_for
from dust3d.progress import Progress

Parameters = Any


@runtime_checkable
class Method(Protocol):
    """A stochastic optimiser of one set of parameters."""

    epochs: int
    batches: int

    def start(self, parameters: Parameters) -> Any:
        """The optimiser's first state."""
        ...

    def prefetch(self, batch: int) -> None:
        """Begin to make the stars of a later step ready."""
        ...

    def step(
        self, parameters: Parameters, state: Any, batch: int, step: int
    ) -> tuple[Parameters, Any, float, float]:
        """One step; returns parameters, state, loss, mean log-likelihood per star."""
        ...


@dataclass
class Fit:
    """The state of a fit between two steps: all that a checkpoint holds.

    Parameters
    ----------
    parameters, state
        What is fitted, and the state of the optimiser.
    phase, epoch
        The phase of the recipe, and the epochs of it that are over.
    seconds
        Spent on epochs and Newton steps [s].
    rows, snapshots
        Of the history.
    done
        Loss and score of each step of the epoch that was begun.
    ascent
        The way to the maximum, once it was begun.
    spent_s
        Wall time of earlier attempts [s].
    """

    parameters: Parameters
    state: Any = None
    phase: int = 0
    epoch: int = 0
    seconds: float = 0.0
    rows: list[tuple[float, ...]] = field(default_factory=list)
    snapshots: list[tuple[int, np.ndarray]] = field(default_factory=list)
    done: list[tuple[Any, Any]] = field(default_factory=list)
    ascent: Ascent | None = None
    spent_s: float = 0.0


@dataclass(frozen=True)
class Phase:
    """A part of a recipe: a method, and how its parameters are judged and shown.

    Parameters
    ----------
    method
        The optimiser.
    heldout_score
        From parameters to the mean log predictive density of the held-out stars.
    snapshot
        From parameters to a picture of the field.
    """

    method: Method
    heldout_score: Callable[[Parameters], float]
    snapshot: Callable[[Parameters], np.ndarray]


@runtime_checkable
class Recipe(Protocol):
    """A sequence of phases from a first guess to the end of the workhorse's part."""

    def first(self) -> Parameters:
        """The first guess."""
        ...

    def enter(self, number: int, parameters: Parameters) -> Parameters:
        """The parameters with which a phase begins, from the end of the one before."""
        ...

    def phase(self, number: int) -> Phase:
        """A phase, counted from 0."""
        ...

    def finished(self, number: int, parameters: Parameters) -> bool:
        """Whether no phase follows this one."""
        ...


@dataclass(frozen=True)
class Hooks:
    """What happens on the way.

    Parameters
    ----------
    save
        Writes a checkpoint.
    evaluate_every_epochs, snapshots, checkpoint_every_s
        How often; as in the configuration's section `optimiser`.
    """

    save: Callable[[Fit], None]
    evaluate_every_epochs: int
    snapshots: int
    checkpoint_every_s: float


def _all_finite(parameters: Parameters) -> bool:
    """Whether a step of an epoch has not spoilt the parameters, though its loss was fine."""
    return all(bool(np.all(np.isfinite(leaf))) for leaf in jax.tree.leaves(parameters))


def _snapshot_epochs(epochs: int, number: int) -> set[int]:
    return set(np.unique(np.linspace(0, epochs, number).round().astype(int)).tolist())


def walk(title: str, recipe: Recipe, fit: Fit, hooks: Hooks, seed: int) -> Fit:
    """Go through the remaining phases of a recipe, from a first guess or a checkpoint.

    Raises
    ------
    FitError
        If the loss or a parameter is not finite; the last checkpoint before it is kept.
    Interrupted
        After a step and a checkpoint, if the process was asked to end.
    """
    while True:
        phase = recipe.phase(fit.phase)
        if fit.ascent is not None:
            return fit
        if fit.state is None:
            fit.parameters = recipe.enter(fit.phase, fit.parameters)
            fit.state = phase.method.start(fit.parameters)
        with interrupts.held():
            run_phase(title, phase, fit, hooks, seed)
            hooks.save(fit)
        # its rays go before others come
        del phase
        if recipe.finished(fit.phase, fit.parameters):
            return fit
        fit.phase, fit.epoch, fit.state = fit.phase + 1, 0, None


class _Keeper:
    """Counts the seconds of a phase, and saves the fit when it is time or has to end."""

    def __init__(self, title: str, fit: Fit, hooks: Hooks):
        self._title, self._fit, self._hooks = title, fit, hooks
        self._before, self._started = fit.seconds, time.monotonic()
        self._last_save = self._started

    def count(self) -> None:
        """Count the seconds."""
        self._fit.seconds = self._before + time.monotonic() - self._started

    def require_finite(self, losses: list[Any]) -> None:
        """Refuse what must not be saved."""
        fit = self._fit
        if not (np.all(np.isfinite(losses)) and _all_finite(fit.parameters)):
            raise FitError(
                f"{self._title}: the loss or a parameter is not finite in epoch {fit.epoch + 1} of "
                f"phase {fit.phase + 1}; the last good checkpoint is kept. Lower "
                "optimiser.method.learning_rate, or look for stars with absurd values"
            )

    def look(self) -> None:
        """Save the fit if it is time, or if the process was asked to end: then obey."""
        due = time.monotonic() - self._last_save > self._hooks.checkpoint_every_s
        asked = asked_to_stop()
        if due or asked:
            self.require_finite([float(loss) for loss, _ in self._fit.done])
            if self._fit.done:
                self.count()
            self._hooks.save(self._fit)
            self._last_save = time.monotonic()
        if asked:
            interrupts.check()


def _epoch(method: Method, fit: Fit, seed: int, look: Callable[[], None]) -> tuple[float, float]:
    """One pass over the batches, or the rest of one; mean loss and log-likelihood per star.

    The order of the batches depends on the seed, the phase and the epoch alone, so
    that a resumed fit walks the same way as one that was never stopped.
    """
    purpose = f"batches of phase {fit.phase}, epoch {fit.epoch}"
    order = generator_for(seed, purpose).permutation(method.batches).tolist()
    for i in range(len(fit.done), len(order)):
        for following in order[i + 1 : i + 2]:
            method.prefetch(following)
        fit.parameters, fit.state, loss, score = method.step(
            fit.parameters, fit.state, order[i], fit.epoch * method.batches + i
        )
        fit.done.append((loss, score))
        # steps are dispatched ahead of time: batches must not pile up in memory
        jax.block_until_ready(fit.done[max(0, i - 1)])
        look()
    loss, score = np.mean(np.asarray(fit.done, dtype=np.float64), axis=0)
    fit.done = []
    return float(loss), float(score)


def run_phase(title: str, phase: Phase, fit: Fit, hooks: Hooks, seed: int) -> None:
    """Go through the remaining epochs of a phase.

    Raises
    ------
    FitError, Interrupted
        As `walk` does.
    """
    method = phase.method
    keep = _snapshot_epochs(method.epochs, hooks.snapshots) if hooks.snapshots else set()
    total = int(fit.rows[-1][0]) if fit.rows else 0
    steps = int(fit.rows[-1][1]) if fit.rows else 0
    if total == 0 and 0 in keep and not fit.snapshots:
        fit.snapshots.append((0, phase.snapshot(fit.parameters)))
    progress, keeper = Progress(title, method.epochs, fit.epoch), _Keeper(title, fit, hooks)
    try:
        while fit.epoch < method.epochs:
            loss, score = _epoch(method, fit, seed, keeper.look)
            keeper.require_finite([loss])
            fit.epoch, total, steps = fit.epoch + 1, total + 1, steps + method.batches
            evaluate = total % hooks.evaluate_every_epochs == 0 or fit.epoch == method.epochs
            heldout = phase.heldout_score(fit.parameters) if evaluate else np.nan
            keeper.count()
            fit.rows.append((float(total), float(steps), fit.seconds, loss, score, heldout))
            progress.update(loss=loss, **({"held-out": heldout} if evaluate else {}))
            if fit.epoch in keep:
                fit.snapshots.append((total, phase.snapshot(fit.parameters)))
            keeper.look()
    finally:
        progress.close()
