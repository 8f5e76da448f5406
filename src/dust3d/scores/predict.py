"""What a fit predicts for stars: extinction, scatter, and the density of what was measured."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from dust3d.config.model import Likelihood as LikelihoodSettings
from dust3d.inference.likelihood import Likelihood, Stars
from dust3d.observations import Observations
from dust3d.rays.gridded import GriddedField
from dust3d.scores.baselines import unit_width
from dust3d.scores.heldout import Prediction


def predict(
    gridded: GriddedField,
    stars: Observations,
    settings: LikelihoodSettings,
    summary: dict[str, Any],
) -> Prediction:
    """The prediction of a fit.

    Parameters
    ----------
    gridded
        The fitted field.
    stars
        The stars.
    settings
        The section `likelihood` of the configuration.
    summary
        The section `likelihood` of `fit.json`; empty: the catalogue's errors alone.
    """
    likelihood = Likelihood(settings, len(stars.class_names), jnp.dtype("float64"))
    nuisance = likelihood.nuisance(likelihood.whiten(summary, stars.class_names))
    if not summary:
        nuisance = nuisance._replace(
            error_inflation=jnp.ones(()),
            floor_mag=jnp.zeros(()),
            substructure_kpc=jnp.zeros(()),
            zero_points_mag=jnp.zeros(len(stars.class_names)),
        )
    first, second = gridded.moments(stars.positions)
    measured = Stars(
        jnp.asarray(stars.extinction),
        jnp.asarray(stars.sigma),
        jnp.asarray(stars.classes),
        jnp.ones(len(stars)),
    )
    mean, variance = likelihood.moments(nuisance, jnp.asarray(first), jnp.asarray(second), measured)
    density = likelihood.log_density(measured.extinction, mean, variance)
    scale = np.sqrt(np.asarray(variance))
    return Prediction(np.asarray(mean), scale * unit_width(settings), np.asarray(density))


def sky_medians(
    gridded: GriddedField, distances_kpc: Sequence[float], directions: np.ndarray
) -> list[float]:
    """Median over directions of the extinction [mag] out to each distance."""
    return [float(np.median(gridded.extinctions(d * directions))) for d in distances_kpc]
