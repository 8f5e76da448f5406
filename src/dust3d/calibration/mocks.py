"""Mocks that the prior and the likelihood of a fit themselves make."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from dust3d.config.base import Box
from dust3d.config.calibration import Calibration
from dust3d.config.mock import UniformStars
from dust3d.fields.sum import SumField
from dust3d.inference.batches import stars_of
from dust3d.inference.prior import Xi
from dust3d.inference.target import Target
from dust3d.keys import generator_for
from dust3d.mock.extinctions import converged_extinctions
from dust3d.mock.placement import draw_positions
from dust3d.observations import Observations

# of the smallest stated error: where quadrature of the truth stops
_CONVERGED = 1e-3


def draw_sky(box: Box, wanted: Calibration, seed: int) -> Observations:
    """Stars with places, stated errors and classes, whose extinctions are still to be measured."""
    placement = UniformStars(kind="uniform", extent=wanted.extent)
    positions = draw_positions(placement, box, wanted.stars, seed)
    generator = generator_for(seed, "calibration: errors of the stars")
    low, high = np.log(wanted.errors_mag)
    return Observations(
        positions,
        np.zeros(len(positions)),
        np.exp(generator.uniform(low, high, len(positions))),
        np.arange(len(positions)) % wanted.classes,
        tuple(f"class {i}" for i in range(wanted.classes)),
    )


def draw_truth(target: Target, key: PRNGKeyArray) -> Xi:
    """Whitened parameters from the prior, the likelihood's own included."""
    like = jax.eval_shape(target.start, jax.random.key(0))
    leaves, structure = jax.tree.flatten(like)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.normal(k, a.shape, a.dtype) for k, a in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)


def observe(
    target: Target, truth: Xi, sky: Observations, generator: np.random.Generator
) -> np.ndarray:
    """Measured extinctions [mag] of stars behind a field, by exact rays and the likelihood."""
    likelihood = target.likelihood
    field = target.prior.field(truth["field"])
    tolerance = _CONVERGED * float(sky.sigma.min())
    first = converged_extinctions(field, sky.positions, tolerance)
    second = np.zeros_like(first)
    if likelihood.needs_second_moment:
        # rho^2 is the density of twice ln rho
        second = converged_extinctions(SumField((field, field)), sky.positions, tolerance)
    rows = np.arange(len(sky))[None]
    stars = jax.tree.map(lambda a: a[0], stars_of(sky, rows, jnp.dtype("float64")))
    nuisance = likelihood.nuisance(truth["likelihood"])
    mean, variance = likelihood.moments(nuisance, jnp.asarray(first), jnp.asarray(second), stars)
    if likelihood.settings.kind == "gaussian":
        noise = generator.standard_normal(len(sky))
    else:
        noise = generator.standard_t(likelihood.settings.degrees_of_freedom, len(sky))
    return np.asarray(mean) + np.sqrt(np.asarray(variance)) * noise
