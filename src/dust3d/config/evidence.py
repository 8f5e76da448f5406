"""Which order the data support."""

from pydantic import Field

from dust3d.config.base import Count, Positive, Section


class Evidence(Section):
    """Log evidence of every Fourier fit, and the choice among the fits of a run.

    The determinant of the metric is exact up to so many parameters, and found by random vectors
    (stochastic Lanczos quadrature, with a standard error) beyond.
    """

    dense_parameters: Count = Field(
        default=7000, description="Most parameters whose metric is formed and factored, if it fits."
    )
    max_steps: Count = Field(
        default=12, description="Newton steps at most, to the very maximum first."
    )
    tolerance: Positive = Field(
        default=0.05,
        description="Error of ln Z that is let pass, from the maximum and from the number of "
        "products [nats].",
    )
    probes: int = Field(
        default=16, ge=4, le=1024, description="Random vectors, where the metric is not formed."
    )
    max_products: Count = Field(
        default=100, description="Products with the metric for each of them at most."
    )
    block_parameters: int = Field(
        default=2800,
        ge=2,
        description="The longest modes, whose metric is inverted densely: fewer products do then.",
    )
