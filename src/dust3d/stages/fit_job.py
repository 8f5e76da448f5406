"""What the steps of one fit share, and what they end with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dust3d.fields.base import Field
from dust3d.inference.accuracy import RayAccuracy
from dust3d.inference.cost import Cost
from dust3d.inference.feed import Scratch
from dust3d.inference.memory import Budget
from dust3d.inference.newton import NewtonStep
from dust3d.inference.settings import FitSettings
from dust3d.io.star_table import StarTable


@dataclass(frozen=True)
class Job:
    """What all steps of a fit need to know.

    Parameters
    ----------
    name
        Of the fit.
    folder
        Where its products go.
    settings
        What is fitted and how.
    train, heldout
        The stars.
    budget
        The memory that the fit may take.
    seed
        The run's seed.
    made_of
        All that the fit is made of, JSON-able: settings, seed, digests.
    digest
        Of that.
    origin
        What its products say of where they come from.
    scratch
        Where rays are kept on disk, if they are streamed.
    started_s
        When it began, by the monotonic clock [s].
    """

    name: str
    folder: Path
    settings: FitSettings
    train: StarTable
    heldout: StarTable
    budget: Budget
    seed: int
    made_of: dict[str, Any]
    digest: str
    origin: dict[str, Any]
    scratch: Scratch
    started_s: float


@dataclass(frozen=True)
class Result:
    """The end of a fit.

    Parameters
    ----------
    field
        ln rho.
    likelihood
        Its parameters in plain numbers.
    log_posterior
        At the end, up to a constant; none if Newton steps did not find it.
    accuracy
        Of the rays, on the field; none if it was not measured.
    newton
        The Newton steps.
    converged
        Whether the end is a maximum; none if that was not checked.
    parameters
        How many numbers were fitted.
    cost
        What the workhorse took.
    """

    field: Field
    likelihood: dict[str, Any]
    log_posterior: float | None
    accuracy: RayAccuracy | None
    newton: list[NewtonStep]
    converged: bool | None
    parameters: int
    cost: Cost
