"""Which kernel and grid production rays take: what costs least for the accuracy asked for.

The error of a scheme is measured beforehand, on draws of the prior or on a field near the one to
come, and a sample of the stars themselves. It falls with a power of the oversampling, so that two
or three trials of each kernel find the coarsest grid that will do.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy import fft

from dust3d.fields.base import Field
from dust3d.fields.fourier import FourierField
from dust3d.fields.mean import ConstantMean
from dust3d.fields.modes import fourier_modes
from dust3d.fields.sum import SumField
from dust3d.inference.prior import spectral_scales
from dust3d.inference.settings import Choice, FitSettings
from dust3d.keys import generator_for
from dust3d.observations import Observations
from dust3d.progress import logger
from dust3d.rays.grid import Grid
from dust3d.rays.nodes import extinctions
from dust3d.rays.scheme import Scheme, scheme_for
from dust3d.rays.weights import ray_weights
from dust3d.runtime import cores
from dust3d.transforms.grid import grid_transform

_SAMPLE = 384
# errors scatter from draw to draw: the second worst of a few, and a margin
_DRAWS = 4
_MARGIN = 0.8
_TRIALS = 4
_MOST_VOXELS = 48_000_000
# a gradient's cost of one voxel (transforms, exp) in units of one weight's
_VOXEL_COST = 8
# first oversampling, and the power of it that the error falls with
_STARTS = {
    "planes": (2.4, 2.4),
    "trilinear": (4.0, 2.0),
    "deconvolved": (2.0, 2.3),
    "quadratic": (1.5, 4.0),
    "cubic": (1.4, 5.0),
}
_COARSEST = {"planes": 1.3}
_COARSEST_OF_OTHERS = 1.1
# plain trilinear rays never need less than deconvolved ones
_CANDIDATES = ("planes", "deconvolved", "quadratic", "cubic")


class Trial(NamedTuple):
    """A choice, its error [sigma, 99th percentile] and its cost [weights per gradient]."""

    choice: Choice
    error: float
    cost: float


class _Fields:
    """Fields on any grid, and exact extinctions of a sample of stars behind each.

    Parameters
    ----------
    fields
        ln rho, Fourier series with a mean.
    stars
        The sample.
    nodes
        On each ray.
    as_observed
        Whether each field gets as much dust as the stars have behind them, else draws of a prior
        would decide by their own scatter.
    """

    def __init__(
        self, fields: Sequence[Field], stars: Observations, nodes: int, *, as_observed: bool
    ):
        self._fields = fields
        self._sigma, self._positions = stars.sigma, np.asarray(stars.positions)
        positions = jnp.asarray(self._positions)
        self._exact = [np.asarray(extinctions(field, positions, nodes)) for field in fields]
        observed = float(np.mean(stars.extinction)) if as_observed else 0.0
        self._scales = [observed / np.mean(a) if observed > 0 else 1.0 for a in self._exact]

    def error(self, scheme: Scheme) -> tuple[float, float]:
        """99th percentile of |A - exact A| [sigma] on a bad field, and weights per star."""
        weights = ray_weights(self._positions, scheme)
        errors = []
        for field, exact, scale in zip(self._fields, self._exact, self._scales, strict=True):
            parts = [
                scheme.undone(_density(field, grid), i).ravel()
                for i, grid in enumerate(scheme.grids)
            ]
            found = weights @ np.concatenate(parts).astype(np.float32)
            error = scale * np.abs(found - exact) / self._sigma
            errors.append(float(np.percentile(error, 99)))
        return sorted(errors)[-2:][0], weights.nnz / len(self._sigma)


def _density(field: Field, grid: Grid) -> np.ndarray:
    """rho on a grid, in single precision and without a program for each."""
    assert isinstance(field, SumField)
    series, mean = field.parts
    assert isinstance(series, FourierField)
    transform = grid_transform(series.modes, grid.cells)
    sign = np.where(transform.conjugate, 1.0, -1.0)
    cos, sin = np.asarray(series.cos), np.asarray(series.sin)
    entries = cos[transform.source] + 1j * sign * sin[transform.source]
    spectrum = np.zeros((*grid.cells[:-1], grid.cells[-1] // 2 + 1), np.complex64)
    spectrum[transform.index] = 0.5 * entries * transform.factor
    varying = fft.irfftn(spectrum, s=grid.cells, norm="forward", workers=cores())
    level = np.asarray(mean.on_grid(tuple(jnp.asarray(axis) for axis in grid.axes)))
    return np.exp(level + np.asarray(varying))


def _draws(settings: FitSettings, order: tuple[int, ...], seed: int) -> list[Field]:
    """Some fields of the prior, about the middle of its mean."""
    assert settings.fourier is not None
    prior, box, ball = settings.prior, settings.box.half_widths_kpc, settings.fourier.ball
    scales = spectral_scales(
        fourier_modes(order, ball),
        box,
        std=prior.std,
        slope=prior.slope,
        outer_scale_kpc=prior.outer_scale_kpc,
        std_scale_kpc=prior.std_scale_kpc,
    )
    generator = generator_for(seed, "draws that production rays are chosen on")
    mean = ConstantMean(jnp.asarray(float(np.log(prior.mean.density_mag_per_kpc))))
    return [
        SumField((FourierField(order, box, jnp.asarray(cos), jnp.asarray(sin), ball), mean))
        for cos, sin in scales * generator.standard_normal((_DRAWS, 2, len(scales)))
    ]


def choose_rays(
    settings: FitSettings,
    observations: Observations,
    *,
    batches: float | int,
    order: tuple[int, ...] | None = None,
    seed: int,
    field: Field | None = None,
) -> Choice:
    """The cheapest kernel and oversampling within `rays.production.max_error_sigma`.

    Parameters
    ----------
    settings
        The fit.
    observations
        Its stars, or a sample of them.
    batches
        Into how many batches they are cut (of a sample: its share of them): each of them costs a
        transform of the grid.
    order
        Order of the field, if it is not that of the fit.
    seed
        The run's seed.
    field
        The field that their error is measured on; none: draws of the prior.
    """
    production = settings.rays.production
    if production.oversampling is not None and production.kernel != "auto":
        return Choice(production.kernel, production.oversampling)
    order = order or settings.order
    generator = generator_for(seed, "sample that production rays are chosen on")
    rows = generator.permutation(len(observations))[:_SAMPLE]
    sample = observations.take(rows)
    nodes = settings.first_nodes(float(sample.distances.max()), order)
    fields = [field] if field is not None else _draws(settings, order, seed)
    draws = _Fields(fields, sample, nodes, as_observed=field is None)
    where = "the field" if field is not None else "draws of the prior"
    limit = _MARGIN * production.max_error_sigma
    kernels = _CANDIDATES if production.kernel == "auto" else (production.kernel,)
    trials: list[Trial] = []
    for kernel in kernels:
        trials += _trials(
            draws,
            kernel,
            order,
            settings.box.half_widths_kpc,
            production.oversampling,
            limit,
            (float(len(observations)), float(batches)),
        )
    good = [trial for trial in trials if trial.error <= limit]
    if not good:
        logger.warning(
            "%s: no production rays that fit into memory are within %.2g sigma on %s; "
            "those that come nearest are taken",
            settings.name,
            limit,
            where,
        )
    best = min(good, key=lambda t: t.cost) if good else min(trials, key=lambda t: t.error)
    logger.info(
        "%s: %s rays, %.3g voxels per half-wavelength: within %.2g sigma for 99 %% of the stars "
        "on %s",
        settings.name,
        *best.choice,
        best.error,
        where,
    )
    return best.choice


def _trials(
    draws: _Fields,
    kernel: str,
    order: tuple[int, ...],
    half_widths: tuple[float, ...],
    fixed: float | None,
    limit: float,
    size: tuple[float, float],
) -> Iterator[Trial]:
    """A few values of the oversampling, towards the coarsest that keeps to the limit."""
    stars, batches = size
    start, power = _STARTS[kernel]
    coarsest = _COARSEST.get(kernel, _COARSEST_OF_OTHERS)
    oversampling, tried = fixed or start, []
    for _ in range(_TRIALS):
        scheme = scheme_for(kernel, order, half_widths, oversampling)
        if scheme.size > _MOST_VOXELS and tried:
            return
        error, weights = draws.error(scheme)
        cost = stars * weights + batches * _VOXEL_COST * scheme.size
        yield Trial(Choice(kernel, oversampling), error, cost)
        tried.append(oversampling)
        wanted = oversampling * (error / (0.95 * limit)) ** (1 / power)
        wanted = float(np.clip(wanted, coarsest, 2 * oversampling))
        if fixed is not None or min(abs(wanted / o - 1) for o in tried) < 0.04:
            return
        oversampling = round(wanted, 3)
