"""Whether a posterior is as wide as it should be: its samples against stars."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dust3d.config.model import Likelihood as LikelihoodSettings
from dust3d.fields.base import Field
from dust3d.io.samples import Samples
from dust3d.observations import Observations
from dust3d.progress import Progress
from dust3d.rays.gridded import GriddedField, grid_for_field
from dust3d.scores.coverage import coverage, pit_inside
from dust3d.scores.family import Family
from dust3d.scores.mixture import Mixture
from dust3d.scores.pit import pit_scores
from dust3d.scores.predict import components_of_sample, moments_to

Watcher = Callable[[Field, GriddedField, np.ndarray], None]
"""Told of each sample: its field, the same on a grid, and the extinctions of the stars [mag]."""


def posterior_predictive(
    samples: Samples,
    half_widths: Sequence[float],
    stars: Observations,
    settings: LikelihoodSettings,
    watchers: Sequence[Watcher] = (),
) -> Mixture:
    """The distribution of each star's measured extinction.

    Parameters
    ----------
    samples
        Of the posterior.
    half_widths
        Of the box [kpc].
    stars, settings
        The stars, and the section `likelihood` of the configuration.
    watchers
        Who else wants to see each sample, which is on a grid but once.
    """
    number = len(samples)
    mean, scale = np.empty((2, number, stars.rays, len(stars)))
    shares = np.ones(1)
    progress = Progress(f"{samples.attrs.get('name', 'fit')}: scores of samples", number)
    for i, field in enumerate(samples.fields):
        gridded = GriddedField(field, grid_for_field(field, half_widths))
        first, second = moments_to(gridded, stars)
        found = components_of_sample(samples, i, first, second, stars, settings)
        shares, mean[i], scale[i] = found
        if watchers and stars.cells is not None:
            first = gridded.extinctions(stars.positions)
        for watch in watchers:
            watch(field, gridded, first)
        progress.update(stars=float(len(stars)))
    progress.close()
    each = (number * stars.rays, len(stars))
    shares = np.tile(shares / number, number)
    return Mixture(Family.of(settings), shares, mean.reshape(each), scale.reshape(each))


def measured_calibration(
    mixture: Mixture, stars: Observations, pixels: np.ndarray
) -> dict[str, Any]:
    """PIT of held-out stars, and coverage of what was measured.

    Parameters
    ----------
    mixture, stars
        The posterior predictive distribution, and the stars.
    pixels
        Of the sky; stars of one are not independent.
    """
    pit = mixture.cdf(stars.extinction)
    return {
        "pit": pit_scores(pit, pixels),
        "coverage": {"heldout": coverage(pit_inside(pit), pixels)},
    }
