"""What is fitted: fields, prior, likelihood, rays."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dust3d.config.base import Count, Finite, NonNegative, Positive, Section

Order = tuple[Count, ...]


def order_name(order: tuple[int, ...]) -> str:
    """`10x10x2` for the order or layers (10, 10, 2)."""
    return "x".join(str(m) for m in order)


class FourierFits(Section):
    """One fit for each order of a Fourier series of ln rho."""

    orders: tuple[Order, ...] = Field(
        min_length=1, description="Highest mode along each axis, one entry per fit, rising."
    )
    ball: bool = Field(
        default=True, description="Keep only modes inside the ellipsoid of these orders."
    )
    form: Literal["cos_sin", "amplitude_phase"] = Field(
        default="cos_sin",
        description="How coefficients are written: a cos + b sin, or c cos(k x + phi).",
    )
    warm_start: bool = Field(
        default=True,
        description="Start each order from the one below; if false, orders run in parallel.",
    )

    @model_validator(mode="after")
    def _orders_rise(self):
        for low, high in zip(self.orders, self.orders[1:], strict=False):
            if len(low) == len(high) and not (
                all(a <= b for a, b in zip(low, high, strict=True)) and low != high
            ):
                raise ValueError(
                    f"orders must rise on every axis, but {list(high)} follows {list(low)}; "
                    "sort them from low to high"
                )
        return self


class MLPFits(Section):
    """One fit for each shape of a network on Fourier features."""

    layers: tuple[tuple[Count, ...], ...] = Field(
        default=(), description="Widths of the hidden layers, one entry per fit."
    )
    features: Count = Field(
        default=128, description="Random Fourier features fed to the first layer."
    )
    feature_scale_kpc: Positive = Field(
        default=0.5, description="Wavelengths of the features are drawn around this one."
    )

    @model_validator(mode="after")
    def _layers_differ(self):
        for i, layers in enumerate(self.layers):
            if layers in self.layers[:i]:
                raise ValueError(
                    f"two networks have the layers {list(layers)}; their products would be one"
                )
            if not layers:
                raise ValueError(f"layers[{i}] is empty; give the width of a hidden layer")
        return self


class ConstantMean(Section):
    """ln rho has one mean everywhere, fitted."""

    kind: Literal["constant"] = "constant"
    density_mag_per_kpc: Positive = Field(
        default=0.5, description="exp of the prior mean of ln rho."
    )
    std: Positive = Field(
        default=1.0, description="Prior standard deviation of the mean of ln rho."
    )


class VerticalMean(Section):
    """ln rho has a mean that depends on |z + z0|: a cubic spline, flat in the plane."""

    kind: Literal["vertical"]
    density_mag_per_kpc: Positive = Field(
        default=0.5, description="exp of the prior mean in the plane."
    )
    std: Positive = Field(default=1.0, description="Prior standard deviation in the plane.")
    knots_kpc: tuple[NonNegative, ...] = Field(
        default=(0.0, 0.05, 0.1, 0.2, 0.4),
        min_length=3,
        description="Heights of the knots, from 0.",
    )
    step_std: Positive = Field(
        default=0.5, description="Standard deviation of the random walk from knot to knot."
    )
    offset_kpc: Finite = Field(default=0.015, description="Prior mean of z0, the Sun's height.")
    offset_std_kpc: Positive = Field(default=0.010, description="Prior standard deviation of z0.")

    @model_validator(mode="after")
    def _knots_rise_from_zero(self):
        if self.knots_kpc[0] != 0 or list(self.knots_kpc) != sorted(set(self.knots_kpc)):
            raise ValueError("knots_kpc must start at 0 and rise")
        return self


Mean = Annotated[ConstantMean | VerticalMean, Field(discriminator="kind")]


class Prior(Section):
    """Prior of ln rho: a Gaussian field; amplitudes fall as (k0^2 + k^2)^(-slope / 2)."""

    std: Positive = Field(
        default=1.5,
        description="Standard deviation of ln rho about its mean, "
        "from all modes longer than `std_scale_kpc`.",
    )
    std_scale_kpc: Positive | None = Field(
        default=None,
        description="Shortest wavelength that counts in `std`; none: the highest order's of "
        "each fit, so that fits of different order then have different priors.",
    )
    slope: NonNegative = Field(default=1.8, description="Slope of the amplitudes.")
    outer_scale_kpc: Positive | None = Field(
        default=None, description="Outer scale 2 pi / k0; none makes a pure power law."
    )
    mean: Mean = Field(default=ConstantMean(), description="Mean of ln rho.")


class Parameter(Section):
    """A positive number of the likelihood: its prior is log-normal."""

    median: Positive = Field(description="Prior median; the value itself if it is not fitted.")
    ln_std: Positive = Field(default=0.5, description="Prior standard deviation of its logarithm.")
    fit: bool = Field(default=True, description="Whether it is fitted.")


class Likelihood(Section):
    """Extinctions given the field: sigma^2 = f^2 sigma_star^2 + s0^2 + c int rho^2 ds."""

    kind: Literal["gaussian", "student_t"] = Field(
        default="gaussian", description="Gaussian, or Student-t against outliers."
    )
    degrees_of_freedom: Positive = Field(default=4.0, description="Of Student-t.")
    error_inflation: Parameter = Field(
        default=Parameter(median=1.0, ln_std=0.3), description="f, multiplies the stated errors."
    )
    floor_mag: Parameter | None = Field(
        default=None, description="s0, an error that every star has; none: 0."
    )
    substructure_kpc: Parameter | None = Field(
        default=None,
        description="c, grows with the dust crossed, for structure finer than the field; none: 0.",
    )
    zero_point_std_mag: NonNegative = Field(
        default=0.0,
        description="Prior standard deviation of a zero point per class, in E(B-V), times "
        "R_V = 3.1 in A_V; 0 fits none.",
    )
    distance_cells: int = Field(
        default=1,
        ge=1,
        le=63,
        description="Over how many cells of each star's distance posterior the likelihood is "
        "averaged: as many rays to each star. 1: the median distance is taken as known.",
    )


class ProductionRays(Section):
    """Density on a grid, rays as a sparse matrix star x voxel."""

    kernel: Literal["auto", "planes", "trilinear", "deconvolved", "quadratic", "cubic"] = Field(
        default="auto",
        description="How rays read the grid: `trilinear`; `deconvolved`, the same with its "
        "damping undone on the grid; `planes`, sampled across each ray's steepest axis, with the "
        "fewest weights per star and the most voxels; B-splines, for the smallest errors. `auto` "
        "takes what costs least for `max_error_sigma` on a draw of the prior.",
    )
    oversampling: Annotated[float, Field(ge=1)] | None = Field(
        default=None,
        description="Voxels per half-wavelength of the highest mode along each axis, to begin "
        "with (`planes`: half as many along the ray); none: from `max_error_sigma`.",
    )
    max_error_sigma: Positive = Field(
        default=0.5,
        description="Largest 99th percentile of |A - exact A| in units of each star's sigma; "
        "checked on the fitted field, and the grid refined until it holds.",
    )
    on_disk: bool = Field(
        default=True,
        description="Whether fits that stream their stars keep the rays on disk beside the fit, "
        "where there is room, instead of making them anew in each pass.",
    )


class ExactRays(Section):
    """Gauss-Legendre nodes on every ray."""

    nodes: int | None = Field(
        default=None,
        ge=2,
        le=4096,
        description="Nodes per ray; none: from the order and the distances.",
    )
    max_error_sigma: Positive = Field(
        default=0.1,
        description="Largest 99.9th percentile of |A_n - A_2n| in units of the smallest "
        "sigma on the fitted field; else the nodes are doubled.",
    )
    evaluator: Literal["auto", "finufft", "gather", "separable"] = Field(
        default="auto",
        description="How a Fourier series is evaluated at the nodes: by FINUFFT (CPU), by a "
        "gather on an oversampled grid (any device), by separable products (exact to rounding), "
        "or the fastest of them here.",
    )
    transform_accuracy: Annotated[float, Field(ge=1e-14, le=1e-2)] = Field(
        default=1e-5,
        description="Largest rms error of ln rho at the nodes over the root of the sum of the "
        "squares of the coefficients; single precision goes down to 1e-6.",
    )


class ReferenceRays(Section):
    """The neural ODE dA/dt = |x| rho(t x), solved adaptively by diffrax."""

    solver: Literal["dopri5", "tsit5"] = Field(default="dopri5", description="Runge-Kutta pair.")
    max_step_kpc: Positive | None = Field(
        default=None,
        description="Longest step along a ray; none: free. A cloud narrower than the steps that "
        "thin dust before it allows would be jumped over.",
    )
    rtol: Positive = Field(default=1e-7, description="Relative tolerance.")
    atol: Positive = Field(default=1e-5, description="Absolute tolerance [mag].")
    adjoint: Literal["recursive_checkpoint", "direct", "backsolve"] = Field(
        default="recursive_checkpoint", description="How gradients pass the solver."
    )


class Rays(Section):
    """From density to extinction."""

    method: Literal["production", "exact", "reference"] = Field(
        default="production",
        description="Which path the optimiser takes. Networks take `exact` for `production`: a "
        "voxel would cost them as much as a node.",
    )
    production: ProductionRays = Field(
        default=ProductionRays(), description="Sparse rays on a grid."
    )
    exact: ExactRays = Field(default=ExactRays(), description="Quadrature on nodes.")
    reference: ReferenceRays = Field(default=ReferenceRays(), description="diffrax.")


class Fits(Section):
    """The grid of models."""

    fourier: FourierFits = Field(description="Fourier series.")
    mlp: MLPFits = Field(default=MLPFits(), description="Networks.")
