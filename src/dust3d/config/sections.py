"""The sections of a run's configuration, without the checks that they fit each other."""

from pydantic import Field

from dust3d.config.base import Box, Section
from dust3d.config.calibration import Calibration
from dust3d.config.catalogues import Catalogues, Crossmatch, Heldout, Selection
from dust3d.config.clouds import Clouds
from dust3d.config.evidence import Evidence
from dust3d.config.mock import Mock, TableStars
from dust3d.config.model import Fits, Likelihood, Prior, Rays
from dust3d.config.optimiser import Optimiser
from dust3d.config.output import Map, Plots, Scores
from dust3d.config.posterior import Posterior

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


class Sections(Section):
    """All keys of a configuration."""

    run: str = Field(
        pattern=_NAME,
        description="Name; all its files go to results/NAME/.",
    )
    seed: int = Field(ge=0, le=2**31 - 1, description="Seed of every random number.")
    box: Box = Field(description="The box of the field.")
    mock: Mock | None = Field(default=None, description="A mock sky; or give `catalogues`.")
    catalogues: Catalogues | None = Field(default=None, description="Real stars; or give `mock`.")
    crossmatch: Crossmatch = Field(
        default=Crossmatch(), description="Pairing of the two catalogues."
    )
    selection: Selection = Field(default=Selection(), description="Which stars are used.")
    heldout: Heldout = Field(default=Heldout(), description="Stars kept from the fits.")
    fits: Fits = Field(description="The grid of models.")
    prior: Prior = Field(default=Prior(), description="Prior of the field.")
    likelihood: Likelihood = Field(
        default=Likelihood(), description="Likelihood of the extinctions."
    )
    rays: Rays = Field(default=Rays(), description="From density to extinction.")
    optimiser: Optimiser = Field(default=Optimiser(), description="How the maximum is found.")
    posterior: Posterior | None = Field(
        default=None,
        description="Samples of the posterior, for uncertainties in maps, queries and scores; "
        "none: the maximum alone.",
    )
    calibration: Calibration | None = Field(
        default=None,
        description="Mocks that tell whether the posterior is calibrated, for the target "
        "`calibrate`; none: no such target.",
    )
    evidence: Evidence | None = Field(
        default=None,
        description="Log evidence of every Fourier fit, and the choice among all fits by it and by "
        "held-out stars; none: no choice is made.",
    )
    map: Map = Field(description="The grid of the maps.")
    scores: Scores = Field(default=Scores(), description="How fits are judged.")
    clouds: Clouds | None = Field(
        default=None,
        description="Clouds of known distance that are looked for in the maps; none: no table of "
        "them.",
    )
    plots: Plots = Field(default=Plots(), description="Figures.")
    deterministic: bool = Field(
        default=False,
        description="Fits repeat to the bit on the same machine with as many cores; exact rays "
        "then take one thread.",
    )
    allow_cpu: bool = Field(
        default=False,
        description="A job that a cluster promised a GPU, and that finds none, computes on the "
        "CPU; else it stops. Changes no numbers, so nothing runs again for it.",
    )

    @property
    def is_mock(self) -> bool:
        """Whether the truth is known."""
        return self.mock is not None

    def star_tables(self) -> list[str]:
        """Star tables that a mock has its stars from."""
        if self.mock is None or not isinstance(self.mock.stars.placement, TableStars):
            return []
        return list(self.mock.stars.placement.paths)
