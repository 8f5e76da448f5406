"""What a fit predicts for stars: extinction, scatter, and the density of what was measured."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from dust3d.config.model import Likelihood as LikelihoodSettings
from dust3d.inference.batches import stars_of
from dust3d.inference.likelihood import Likelihood, Nuisance, Stars
from dust3d.io.samples import Samples
from dust3d.observations import Observations
from dust3d.rays.gridded import GriddedField
from dust3d.scores.family import Family
from dust3d.scores.heldout import Prediction
from dust3d.scores.mixture import Mixture


def _likelihood_of(settings: LikelihoodSettings, stars: Observations) -> Likelihood:
    return Likelihood(settings, len(stars.class_names), jnp.dtype("float64"))


def _measured(stars: Observations) -> Stars:
    return stars_of(stars, np.arange(len(stars)), jnp.dtype("float64"))


def moments_to(gridded: GriddedField, stars: Observations) -> tuple[np.ndarray, np.ndarray]:
    """int rho ds [mag] and int rho^2 ds [mag^2 / kpc] to stars: (n,), with cells (n, cells)."""
    ends = stars.ends
    first, second = gridded.moments(ends.reshape(-1, ends.shape[-1]))
    return first.reshape(ends.shape[:-1]), second.reshape(ends.shape[:-1])


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
    first, second = moments_to(gridded, stars)
    components = _components(likelihood, nuisance, first, second, measured)
    return Mixture(Family.of(settings), *components).prediction(stars.extinction)


def _components(
    likelihood: Likelihood,
    nuisance: Nuisance,
    first: np.ndarray,
    second: np.ndarray,
    measured: Stars,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares, means [mag] and scales [mag] of what each star's extinction is a mixture of."""
    shares, mean, variance = likelihood.components(
        nuisance, jnp.asarray(first), jnp.asarray(second), measured
    )
    return np.asarray(shares), np.asarray(mean).T, np.sqrt(np.asarray(variance)).T


def nuisance_of(samples: Samples, number: int, class_names: tuple[str, ...]) -> Nuisance:
    """The likelihood's parameters of one sample, for stars of these classes.

    A class that the fit did not know has no zero point.
    """
    one = {name: values[number] for name, values in samples.likelihood.items()}
    known = dict(zip(samples.class_names, one["zero_points_mag"], strict=True))
    one["zero_points_mag"] = np.asarray([known.get(name, 0.0) for name in class_names])
    return Nuisance(**{name: jnp.asarray(one[name]) for name in Nuisance._fields})


def components_of_sample(
    samples: Samples,
    number: int,
    extinction: np.ndarray,
    second: np.ndarray,
    stars: Observations,
    settings: LikelihoodSettings,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares (cells,) of expected A_obs and scales [mag] (cells, n), by one sample of a posterior.

    Parameters
    ----------
    samples, number
        The posterior, and which sample of it.
    extinction, second
        From `moments_to`, through its field.
    stars, settings
        The stars, and the section `likelihood` of the configuration.
    """
    nuisance = nuisance_of(samples, number, stars.class_names)
    likelihood = _likelihood_of(settings, stars)
    return _components(likelihood, nuisance, extinction, second, _measured(stars))


def sky_medians(
    gridded: GriddedField, distances_kpc: Sequence[float], directions: np.ndarray
) -> list[float]:
    """Median over directions of the extinction [mag] out to each distance."""
    return [float(np.median(gridded.extinctions(d * directions))) for d in distances_kpc]
