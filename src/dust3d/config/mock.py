"""The mock: a known truth, the stars behind it, and the two catalogues that see them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dust3d.config.base import (
    Count,
    Finite,
    Fraction,
    NonNegative,
    Positive,
    PositiveRange,
    Section,
)

Epoch = Annotated[float, Field(ge=1800, le=2200)]


class FourierTruth(Section):
    """ln rho is a Fourier series with random coefficients of a power-law spectrum."""

    kind: Literal["fourier"]
    order: tuple[Count, ...] = Field(description="Highest mode along each axis.")
    ball: bool = Field(
        default=True, description="Keep only modes inside the ellipsoid of these orders."
    )
    std: Positive = Field(default=1.0, description="Standard deviation of ln rho.")
    slope: NonNegative = Field(
        default=1.8, description="Amplitudes fall as (k0^2 + k^2)^(-slope / 2)."
    )
    outer_scale_kpc: Positive | None = Field(
        default=None, description="Outer scale 2 pi / k0; none makes a pure power law."
    )
    mean_density_mag_per_kpc: Positive = Field(
        default=1.0, description="exp of the mean of ln rho."
    )
    draw_mean: bool = Field(
        default=False,
        description="Draw the mean of ln rho as one more mode of k = 1, within `std`, "
        "as the original experiment does.",
    )


class Disc(Section):
    """A sech^2 layer of dust off the plane of the Sun."""

    scale_height_kpc: Positive = Field(
        default=0.1, description="Scale height h of sech^2((z - z0) / h)."
    )
    offset_kpc: Finite = Field(default=-0.015, description="Height z0 of the layer's midplane.")
    midplane_density_mag_per_kpc: Positive = Field(
        default=0.7, description="Density in the midplane."
    )


class Turbulence(Section):
    """Log-normal turbulence, periodic only in a box larger than the map's."""

    box_factor: Annotated[float, Field(ge=1)] = Field(
        default=2.0, description="Size of its box over that of the map."
    )
    order: tuple[Count, ...] = Field(description="Highest mode along each axis of its box.")
    std: NonNegative = Field(default=1.0, description="Standard deviation of ln rho.")
    slope: NonNegative = Field(default=1.8, description="Slope of the amplitudes.")
    outer_scale_kpc: Positive | None = Field(
        default=None, description="Outer scale; none: power law."
    )


class Clouds(Section):
    """Compact Gaussian clouds, or filaments: Gaussian tubes about straight segments."""

    number: int = Field(default=0, ge=0, description="How many.")
    peak_ratio: PositiveRange = Field(
        default=(10.0, 100.0),
        description="Range of the peak density over the midplane's (log-uniform).",
    )
    radius_kpc: PositiveRange = Field(
        default=(0.01, 0.04), description="Range of the Gaussian sigma across (log-uniform)."
    )
    length_kpc: PositiveRange = Field(
        default=(0.1, 0.4), description="Range of a filament's length; clouds ignore it."
    )


class Cavity(Section):
    """A cavity around the Sun with a denser shell, as the Local Bubble."""

    radius_kpc: Positive = Field(default=0.12, description="Radius of the shell.")
    interior_ratio: Positive = Field(
        default=0.05, description="Density inside over that without cavity."
    )
    shell_ratio: NonNegative = Field(
        default=5.0, description="Peak density of the shell over the midplane's."
    )
    shell_thickness_kpc: Positive = Field(default=0.015, description="Gaussian sigma of the shell.")


class StructuredTruth(Section):
    """A truth outside the model's basis: disc, turbulence, clouds, filaments, cavity."""

    kind: Literal["structured"]
    disc: Disc = Field(default=Disc(), description="The smooth layer.")
    turbulence: Turbulence | None = Field(default=None, description="Multiplies the layer.")
    clouds: Clouds = Field(default=Clouds(), description="Compact clouds, added.")
    filaments: Clouds = Field(default=Clouds(), description="Filaments, added.")
    cavity: Cavity | None = Field(default=None, description="A hole around the Sun and its shell.")


class UniformTruth(Section):
    """The same density everywhere; close to zero, a sky without dust."""

    kind: Literal["uniform"]
    density_mag_per_kpc: Positive = Field(description="The density.")


Truth = Annotated[FourierTruth | StructuredTruth | UniformTruth, Field(discriminator="kind")]


class UniformStars(Section):
    """Stars uniform in the middle of the box."""

    kind: Literal["uniform"]
    extent: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.8, description="Part of each half-width that holds stars."
    )


class DiscStars(Section):
    """Stars in an exponential disc around the Galactic centre."""

    kind: Literal["disc"]
    extent: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.8, description="Part of each half-width that holds stars."
    )
    scale_height_kpc: Positive = Field(
        default=0.15, description="Vertical exponential scale height."
    )
    scale_length_kpc: Positive = Field(default=2.6, description="Radial exponential scale length.")
    solar_radius_kpc: Positive = Field(
        default=8.2, description="Distance of the Sun from the centre."
    )


class TableStars(Section):
    """Stars where tables have them, with their classes, magnitudes and stated errors.

    Brightness without dust is the table's less its extinction, then dimmed by the mock's dust.
    """

    kind: Literal["table"]
    paths: tuple[str, ...] = Field(
        min_length=1,
        description="Star tables that a run has selected (`stars/train.h5` and `heldout.h5`), "
        "absolute or from the project's root.",
    )
    extent: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.8, description="Stars outside this part of the half-widths are left out."
    )
    zero_points_mag: dict[str, Finite] = Field(
        default={}, description="Class: added to each observed extinction (A_V) of its stars."
    )


Placement = Annotated[UniformStars | DiscStars | TableStars, Field(discriminator="kind")]


class MockClass(Section):
    """A class of stars with an extinction zero point of its own."""

    name: str = Field(min_length=1, max_length=16, description="Name of the class.")
    fraction: Fraction = Field(description="Share of the stars.")
    zero_point_mag: Finite = Field(
        default=0.0, description="Added to each observed extinction (A_V)."
    )
    absolute_magnitude_mag: Finite = Field(default=2.0, description="Mean absolute V magnitude.")


class MockStars(Section):
    """The stars that light the dust from behind."""

    number: Count | None = Field(
        default=None,
        description="Stars before any magnitude limit removes some; of a table at most so many, "
        "and all if none is given.",
    )
    placement: Placement = Field(
        default=UniformStars(kind="uniform"), description="Where they are."
    )
    classes: tuple[MockClass, ...] = Field(
        default=(MockClass(name="A", fraction=1.0),),
        min_length=1,
        description="Their classes; stars of a table have its classes instead.",
    )
    absolute_magnitude_scatter_mag: NonNegative = Field(
        default=0.5, description="Scatter of absolute magnitude within a class."
    )
    magnitude_limit_mag: Finite | None = Field(
        default=None,
        description="Faintest apparent V magnitude, after extinction; none keeps all stars.",
    )
    velocity_dispersion_km_per_s: NonNegative = Field(
        default=30.0, description="Dispersion of each component of velocity, for proper motions."
    )

    @model_validator(mode="after")
    def _number_is_known(self):
        if self.number is None and not isinstance(self.placement, TableStars):
            raise ValueError("number is missing; only placement.kind: table knows it without")
        return self

    @model_validator(mode="after")
    def _fractions_sum_to_one(self):
        total = sum(c.fraction for c in self.classes)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the fractions of the classes sum to {total:g}; make them sum to 1")
        if len({c.name for c in self.classes}) < len(self.classes):
            raise ValueError("two classes have one name; give each its own")
        return self


class MockExtinction(Section):
    """How well the extinctions are measured, and how badly that is known."""

    noise_mag: Positive = Field(
        default=0.05,
        description="Gaussian noise of A_V; stars of a table have theirs, the stated error times "
        "`understatement`, and for them this is only what true extinctions are exact to.",
    )
    understatement: Positive = Field(
        default=1.0, description="True noise over the error that the catalogue states."
    )
    outlier_fraction: Fraction = Field(default=0.0, description="Share of stars that are too red.")
    outlier_scale_mag: Positive = Field(
        default=0.5, description="Mean of the exponential excess of an outlier."
    )
    integrator: Literal["reference", "exact"] = Field(
        default="reference",
        description="What makes the true extinctions: the neural ODE, or, for large "
        "mocks, quadrature on nodes doubled until it agrees with the ODE.",
    )


class MockAstrometry(Section):
    """Errors of parallax, position and proper motion."""

    parallax_error_mas: Positive = Field(
        default=0.02, description="Error of every parallax; stars of a table have their own."
    )
    parallax_zero_point_mas: Finite = Field(
        default=-0.03, description="Measured parallax minus the true one, on average."
    )
    position_error_mas: NonNegative = Field(
        default=0.1, description="Position error, first catalogue."
    )
    second_position_error_mas: NonNegative = Field(
        default=10.0, description="Position error, second catalogue."
    )
    proper_motion_error_mas_per_yr: NonNegative = Field(
        default=0.05, description="Error per component."
    )


class MockCatalogues(Section):
    """How the two catalogues differ: epochs, what they miss, what they invent."""

    astrometry_epoch_yr: Epoch = Field(default=2016.0, description="Epoch of the first catalogue.")
    extinction_epoch_yr: Epoch = Field(
        default=1991.25, description="Epoch of the second catalogue."
    )
    astrometry_completeness: Fraction = Field(default=0.98, description="Share of stars it holds.")
    extinction_completeness: Fraction = Field(default=0.95, description="Share of stars it holds.")
    missing_proper_motion_fraction: Fraction = Field(
        default=0.01, description="Share of its stars that the first catalogue gives no motion."
    )
    duplicate_fraction: Fraction = Field(
        default=0.002, description="Share of stars that the second catalogue lists twice."
    )
    double_fraction: Fraction = Field(
        default=0.01, description="Share of stars with a companion in the first catalogue only."
    )
    double_separation_arcsec: PositiveRange = Field(
        default=(0.3, 3.0), description="Range of the companions' separations."
    )
    spurious_fraction: Fraction = Field(
        default=0.01, description="Rows of each catalogue that are no star, over its stars."
    )


class Mock(Section):
    """A mock sky in place of real catalogues."""

    truth: Truth = Field(description="The dust.")
    truth_digest: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{16}$",
        description="Digest of the dust at fixed places, as `truth/field.h5` has it among its "
        "attributes; a truth with another is an error. None: any.",
    )
    stars: MockStars = Field(description="The stars.")
    extinction: MockExtinction = Field(default=MockExtinction(), description="Their extinctions.")
    astrometry: MockAstrometry = Field(default=MockAstrometry(), description="Their astrometry.")
    catalogues: MockCatalogues = Field(default=MockCatalogues(), description="The two catalogues.")
