"""How the maximum of the posterior is found."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dust3d.config.base import Count, Finite, NonNegative, Positive, Section


class Adam(Section):
    """Minibatch Adam in whitened parameters, the learning rate falling as a cosine."""

    kind: Literal["adam"] = "adam"
    epochs: Count = Field(default=60, description="Passes over the stars.")
    batch: Count = Field(default=4096, description="Stars per step.")
    learning_rate: tuple[Positive, Positive] = Field(
        default=(0.05, 0.0005), description="First and last learning rate."
    )
    b2: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.98, description="Decay of second moments."
    )


class OriginalStage(Section):
    """One stage of the original recipe: an order and its schedules, each from first to last.

    The learning rate falls in stairs; log10 w and gamma change linearly with the step.
    """

    order: tuple[Count, ...] = Field(description="Order of the field in this stage.")
    epochs: Count = Field(description="Passes over the stars.")
    learning_rate: tuple[Positive, Positive] = Field(description="First and last learning rate.")
    drops: Count = Field(description="Stairs by which the learning rate falls.")
    log10_weight: tuple[Finite, Finite] = Field(
        description="First and last log10 of the penalty's weight w."
    )
    gamma: tuple[NonNegative, NonNegative] = Field(
        description="First and last exponent of k in the penalty."
    )


class Original(Section):
    """The original experiment: SGD on ln(mean residual^2) + w sum k^gamma (a^2 + b^2).

    Its stages raise the order inside one fit; the orders of the grid are its last stages.
    """

    kind: Literal["original"]
    batch: Count = Field(default=4096, description="Stars per step.")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.5, description="Of SGD.")
    clip_norm: Positive = Field(default=100.0, description="Largest norm of a gradient.")
    start_slope: NonNegative = Field(default=6.0, description="Slope of the random first field.")
    start_amplitude: Positive = Field(
        default=0.1, description="Amplitude of the random first field."
    )
    stages: tuple[OriginalStage, ...] = Field(min_length=1, description="In this order.")

    @model_validator(mode="after")
    def _orders_do_not_fall(self):
        for low, high in zip(self.stages, self.stages[1:], strict=False):
            if any(a > b for a, b in zip(low.order, high.order, strict=False)):
                raise ValueError(
                    f"the order of a stage falls from {list(low.order)} to {list(high.order)}; "
                    "stages go from coarse to fine"
                )
        return self


class Newton(Section):
    """Gauss-Newton steps to the maximum of the posterior, after the workhorse.

    `dense` forms the metric of all parameters on exact rays in double precision.
    `iterative` solves each step by preconditioned conjugate gradients, for fields of any size.
    """

    max_steps: int = Field(default=30, ge=0, description="Steps at most; 0 switches it off.")
    tolerance: Positive = Field(
        default=1e-3,
        description="Stop once a step would raise the log posterior by less than this "
        "times the number of stars.",
    )
    method: Literal["auto", "dense", "iterative"] = Field(
        default="auto",
        description="How steps are solved for; `auto` takes `dense` where both limits below hold.",
    )
    dense_parameters: Count = Field(
        default=1000, description="Most parameters for which `auto` takes `dense`."
    )
    dense_entries: Count = Field(
        default=20_000_000, description="Most parameters x stars for which `auto` takes `dense`."
    )
    block_parameters: int = Field(
        default=2800,
        ge=2,
        description="Of `iterative`: the longest modes whose metric its preconditioner inverts.",
    )
    share: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.15,
        description="Of `iterative`: a step is solved for once the last ten products add less than "
        "this part of its gain; gains small enough to stop at are known to a twentieth.",
    )
    max_products: int = Field(
        default=100,
        ge=60,
        description="Of `iterative`: products with the metric for one step at most.",
    )
    max_error_sigma: Positive = Field(
        default=0.3,
        description="Of `iterative`: like `rays.production.max_error_sigma`, for the products of "
        "the last steps.",
    )
    exact: bool = Field(
        default=True,
        description="Of `iterative`: whether the last steps take values and gradients by exact "
        "rays, so that the maximum is theirs and not that of production rays.",
    )


class Optimiser(Section):
    """From the first guess to the maximum."""

    method: Annotated[Adam | Original, Field(discriminator="kind")] = Field(
        default=Adam(), description="The workhorse."
    )
    mlp_method: Adam = Field(
        default=Adam(epochs=20, batch=512, learning_rate=(0.02, 0.0005)),
        description="The workhorse of networks, which want small batches.",
    )
    newton: Newton = Field(default=Newton(), description="The polish.")
    precision: Literal["float32", "float64"] = Field(
        default="float32", description="Of the workhorse."
    )
    stream: Literal["auto", True, False] = Field(
        default="auto",
        description="Whether stars are read, and their rays made, batch by batch instead of being "
        "held in memory: slower, for tables of any size. `auto` does so if the fit would not fit.",
    )
    memory_gb: Positive | None = Field(
        default=None,
        description="Memory that a fit may take; none: what the machine, and the job's limits, "
        "allow. A fit that is predicted to take more is refused before it starts.",
    )
    checkpoint_every_s: NonNegative = Field(
        default=30.0, description="Seconds between checkpoints."
    )
    evaluate_every_epochs: Count = Field(default=2, description="Epochs between held-out scores.")
    snapshots: int = Field(
        default=24,
        ge=0,
        le=200,
        description="States of the field kept in the history, for the animation.",
    )
