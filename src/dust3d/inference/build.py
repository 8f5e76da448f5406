"""From the configuration of a fit to its prior, target and sightlines."""

from typing import Any

import numpy as np
from jaxtyping import Float

from dust3d.config.model import VerticalMean
from dust3d.fields.modes import fourier_modes
from dust3d.inference.batches import Batches, GridSightlines, NodeSightlines, OdeSightlines
from dust3d.inference.devices import star_mesh
from dust3d.inference.distance_cells import sightlines_to
from dust3d.inference.likelihood import Likelihood
from dust3d.inference.prior import (
    ConstantMeanPrior,
    FourierPrior,
    MLPPrior,
    SumPrior,
    VerticalMeanPrior,
    spectral_scales,
)
from dust3d.inference.settings import Choice, FitSettings
from dust3d.inference.target import Sightlines, Target
from dust3d.keys import key_for
from dust3d.observations import Observations


def mean_prior(settings: FitSettings, dtype) -> ConstantMeanPrior | VerticalMeanPrior:
    """The prior of the mean of ln rho."""
    mean = settings.prior.mean
    ln_density = float(np.log(mean.density_mag_per_kpc))
    if isinstance(mean, VerticalMean):
        return VerticalMeanPrior(
            mean.knots_kpc,
            ln_density,
            mean.std,
            mean.step_std,
            mean.offset_kpc,
            mean.offset_std_kpc,
            dtype,
        )
    return ConstantMeanPrior(ln_density, mean.std, dtype)


def fourier_scales(settings: FitSettings) -> Float[np.ndarray, " k"]:
    """Prior standard deviations s(k) of the coefficients of a Fourier fit."""
    assert settings.fourier is not None
    prior = settings.prior
    return spectral_scales(
        fourier_modes(settings.order, settings.fourier.ball),
        settings.box.half_widths_kpc,
        std=prior.std,
        slope=prior.slope,
        outer_scale_kpc=prior.outer_scale_kpc,
        std_scale_kpc=prior.std_scale_kpc,
    )


def field_prior(settings: FitSettings, seed: int, dtype) -> SumPrior:
    """The prior of ln rho: a series or a network, and a mean."""
    half_widths = settings.box.half_widths_kpc
    if settings.fourier is not None:
        scales = np.asarray(fourier_scales(settings), dtype=dtype)
        varying = FourierPrior(
            settings.order, settings.fourier.ball, half_widths, scales, settings.fourier.form
        )
    else:
        assert settings.mlp is not None
        varying = MLPPrior.draw(
            key_for(seed, "features of the network"),
            layers=settings.order,
            features=settings.mlp.features,
            feature_scale_kpc=settings.mlp.feature_scale_kpc,
            ndim=len(half_widths),
            std=settings.prior.std,
            dtype=dtype,
        )
    return SumPrior({"varying": varying, "mean": mean_prior(settings, dtype)})


def target_for(settings: FitSettings, n_classes: int, seed: int, dtype) -> Target:
    """The posterior of a fit, in a given precision."""
    likelihood = Likelihood(settings.likelihood, n_classes, dtype)
    return Target(field_prior(settings, seed, dtype), likelihood)


def sightlines_for(
    settings: FitSettings,
    ends: Float[np.ndarray, "n ndim"] | Float[np.ndarray, "n cells ndim"],
    rows: np.ndarray,
    *,
    refinements: int = 0,
    order: tuple[int, ...] | None = None,
    choice: Choice | None = None,
    reach_kpc: float | None = None,
) -> Sightlines:
    """Sightlines to stars in batches, by the method that the configuration names.

    Parameters
    ----------
    ends
        Where rays to the stars end [kpc], as of `Observations.ends`.
    rows
        Rows of each batch, shape (batches, size).
    refinements
        How many times the grid was made finer, or the nodes were doubled.
    order
        Order of the field, if it is not that of the fit.
    choice
        Kernel and oversampling of production rays, from `choose_rays`; none: as configured.
    reach_kpc
        The largest distance, for the number of nodes; none: that of these stars.
    """
    rays, dtype, mesh = settings.rays, settings.dtype, star_mesh()

    def make(positions: np.ndarray, rows: np.ndarray) -> Sightlines:
        if settings.ray_method == "production":
            scheme = settings.scheme(choice, refinements, order)
            return GridSightlines.resident(positions, rows, scheme, dtype, mesh)
        if settings.ray_method == "exact":
            reach = reach_kpc or float(np.linalg.norm(positions, axis=1).max())
            nodes = settings.first_nodes(reach, order) * 2**refinements
            return NodeSightlines(positions, rows, nodes, dtype, mesh, settings.evaluator)
        return OdeSightlines(positions, rows, rays.reference, dtype, mesh)

    return sightlines_to(ends, rows, mesh, make)


def batches_for(
    settings: FitSettings,
    observations: Observations,
    rows: np.ndarray,
    *,
    number: int | None = None,
    **options: Any,
) -> Batches:
    """Stars in batches with their sightlines.

    `number` as of `Batches`, `options` as for `sightlines_for`.
    """
    rays = sightlines_for(settings, observations.ends, rows, **options)
    return Batches(rays, observations, rows, settings.dtype, star_mesh(), number)
