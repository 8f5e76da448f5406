"""Whether the posterior means what it says: mocks drawn from the prior, fitted and sampled."""

from typing import Annotated

from pydantic import Field

from dust3d.config.base import Count, PositiveRange, Section


class Calibration(Section):
    """Simulation-based calibration of the Fourier fits, by the target `calibrate`.

    Each mock is drawn from the very prior and likelihood of the fit, its parameters included;
    distances are exact. Mocks of one job have their stars at the same places.
    """

    mocks: int = Field(default=200, ge=8, description="Mocks, each of which gives one rank.")
    per_job: Count = Field(default=25, description="Mocks of one job; jobs run in parallel.")
    stars: int = Field(default=400, ge=50, description="Stars of each mock, all of them fitted.")
    extent: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.8, description="Part of each half-width of the box that holds stars."
    )
    errors_mag: PositiveRange = Field(
        default=(0.03, 0.15), description="Range of the stated errors of A_V (log-uniform)."
    )
    classes: Count = Field(default=2, description="Classes of stars, each with its zero point.")
    places: Count = Field(
        default=64,
        description="Places in each mock where coverage of ln rho and of extinctions is counted.",
    )
    band: Annotated[float, Field(gt=0.5, lt=1)] = Field(
        default=0.99, description="Level of the simultaneous bands of rank distributions."
    )
