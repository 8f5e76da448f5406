"""What every section of the configuration shares."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


def _rising(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    if low > high:
        raise ValueError(f"the range falls from {low:g} to {high:g}; give the smaller end first")
    return limits


PositiveRange = Annotated[tuple[Positive, Positive], AfterValidator(_rising)]


class Section(BaseModel):
    """A section of the configuration: immutable, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Box(Section):
    """The box that holds the field. It is periodic: opposite faces know each other."""

    half_widths_kpc: tuple[Positive, ...] = Field(
        min_length=2,
        max_length=3,
        description="Half-width of the box along x, y and z; two values make a 2-D run "
        "in the Galactic plane.",
    )

    @property
    def ndim(self) -> int:
        """Number of dimensions, 2 or 3."""
        return len(self.half_widths_kpc)
