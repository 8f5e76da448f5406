"""How well a fit is known: samples of its posterior."""

from pydantic import Field

from dust3d.config.base import Count, Positive, Section


class Posterior(Section):
    """Samples of the posterior of every Fourier fit, around its maximum.

    Fields and the likelihood's parameters are sampled together, each sample from a random stream
    of its own: more samples leave those that there are as they were.
    """

    samples: int = Field(
        default=63,
        ge=8,
        le=4096,
        description="Samples of each fit. So many support percentiles from 100 / (n + 1) to "
        "100 n / (n + 1).",
    )
    per_job: Count = Field(
        default=64, description="Samples drawn by one job; jobs run in parallel."
    )
    tolerance: Positive = Field(
        default=1e-3,
        le=0.1,
        description="Relative residual to which each sample is solved for; one that misses it is "
        "an error.",
    )
    max_products: Count = Field(
        default=5000, description="Products with the metric for one solution at most."
    )
    block_parameters: int = Field(
        default=7000,
        ge=2,
        description="The longest modes whose metric is inverted densely, to precondition.",
    )
    curvature_steps: int = Field(
        default=12,
        ge=0,
        description="Corrections of each sample for the curvature of the posterior at most, until "
        "`tolerance` is reached; 0 leaves the samples of the linearised one.",
    )
    largest_miss: Positive = Field(
        default=0.05,
        le=1,
        description="A sample whose relative residual is still larger after those corrections is "
        "an error.",
    )
    centre_rounds: int = Field(
        default=2,
        ge=0,
        description="How often, at most, the point about which samples are drawn is moved from the "
        "maximum towards where ln p has no slope on the average over samples; 0: they are drawn "
        "about the maximum, where scatter terms are too small.",
    )
    centre_pairs: Count = Field(
        default=4, description="Pairs of opposite samples over which that average is taken."
    )
