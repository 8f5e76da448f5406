"""What a fit predicts for stars: extinction, scatter, and the density of what was measured."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from dust3d.config.model import Likelihood as LikelihoodSettings
from dust3d.inference.likelihood import Likelihood, Nuisance, Stars
from dust3d.io.samples import Samples
from dust3d.observations import Observations
from dust3d.rays.gridded import GriddedField
from dust3d.scores.family import Family
from dust3d.scores.heldout import Prediction


def _likelihood_of(settings: LikelihoodSettings, stars: Observations) -> Likelihood:
    return Likelihood(settings, len(stars.class_names), jnp.dtype("float64"))


def _measured(stars: Observations) -> Stars:
    return Stars(
        jnp.asarray(stars.extinction),
        jnp.asarray(stars.sigma),
        jnp.asarray(stars.classes),
        jnp.ones(len(stars)),
    )


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
    likelihood, measured = _likelihood_of(settings, stars), _measured(stars)
    nuisance = likelihood.nuisance(likelihood.whiten(summary, stars.class_names))
    if not summary:
        nuisance = nuisance._replace(
            error_inflation=jnp.ones(()),
            floor_mag=jnp.zeros(()),
            substructure_kpc=jnp.zeros(()),
            zero_points_mag=jnp.zeros(len(stars.class_names)),
        )
    first, second = gridded.moments(stars.positions)
    mean, variance = likelihood.moments(nuisance, jnp.asarray(first), jnp.asarray(second), measured)
    density = likelihood.log_density(measured.extinction, mean, variance)
    width = np.sqrt(np.asarray(variance)) * Family.of(settings).unit_width
    return Prediction(np.asarray(mean), width, np.asarray(density))


def nuisance_of(samples: Samples, number: int, class_names: tuple[str, ...]) -> Nuisance:
    """The likelihood's parameters of one sample, for stars of these classes.

    A class that the fit did not know has no zero point.
    """
    one = {name: values[number] for name, values in samples.likelihood.items()}
    known = dict(zip(samples.class_names, one["zero_points_mag"], strict=True))
    one["zero_points_mag"] = np.asarray([known.get(name, 0.0) for name in class_names])
    return Nuisance(**{name: jnp.asarray(one[name]) for name in Nuisance._fields})


def moments_of_sample(
    samples: Samples,
    number: int,
    extinction: np.ndarray,
    second: np.ndarray,
    stars: Observations,
    settings: LikelihoodSettings,
) -> tuple[np.ndarray, np.ndarray]:
    """Expected A_obs and scale [mag] of each star, by one sample with its own scatter.

    Parameters
    ----------
    samples, number
        The posterior, and which sample of it.
    extinction, second
        int rho ds [mag] and int rho^2 ds [mag^2 / kpc] through its field.
    stars, settings
        The stars, and the section `likelihood` of the configuration.
    """
    nuisance = nuisance_of(samples, number, stars.class_names)
    mean, variance = _likelihood_of(settings, stars).moments(
        nuisance, jnp.asarray(extinction), jnp.asarray(second), _measured(stars)
    )
    return np.asarray(mean), np.sqrt(np.asarray(variance))


def sky_medians(
    gridded: GriddedField, distances_kpc: Sequence[float], directions: np.ndarray
) -> list[float]:
    """Median over directions of the extinction [mag] out to each distance."""
    return [float(np.median(gridded.extinctions(d * directions))) for d in distances_kpc]
