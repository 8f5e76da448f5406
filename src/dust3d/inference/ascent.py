"""The state of a climb to the maximum between two Newton steps: all that a checkpoint holds."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dust3d.inference.newton import NewtonStep
from dust3d.inference.settings import Choice


class Memory(NamedTuple):
    """What a problem remembers of the steps before.

    Parameters
    ----------
    made_at
        Flattened parameters where its preconditioner was made; none if it has none.
    numbers
        What it knows of the last step; empty if there was none.
    """

    made_at: np.ndarray | None = None
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True)
class Ascent:
    """A place on the way up.

    Parameters
    ----------
    stage
        0 by the rays of the fit, 1 by exact rays after those.
    nodes
        Of exact rays.
    place
        Flattened parameters, as the steps see them.
    steps
        What each step of all stages did.
    log_posterior
        ln p at the place, by the rays of the stage, up to a constant.
    memory
        Of the stage's problem.
    rays
        Production rays of the last stage, if it has begun.
    """

    stage: int
    nodes: int
    place: np.ndarray
    steps: list[NewtonStep]
    log_posterior: float
    memory: Memory = Memory()
    rays: Choice | None = None

    @property
    def rests(self) -> bool:
        """Whether the stage is over: its last entry only says what was left to gain."""
        return self.steps[-1].length == 0
