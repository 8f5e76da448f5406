"""How far the prior lets ln rho stray."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dust3d.inference.prior import ConstantMeanPrior, FourierPrior, SumPrior, VerticalMeanPrior
from dust3d.keys import key_for

_DRAWS = 1024


def series_variance(prior: FourierPrior) -> float:
    """Prior variance of a Fourier series, the same everywhere: sum over k of s(k)^2."""
    return float(np.sum(np.square(np.asarray(prior.scales, dtype=np.float64))))


def mean_variance(
    prior: ConstantMeanPrior | VerticalMeanPrior, heights: Float[np.ndarray, " h"]
) -> Float[np.ndarray, " h"]:
    """Prior variance of the mean of ln rho at heights z [kpc]; of a profile by many draws."""
    if isinstance(prior, ConstantMeanPrior):
        return np.full(len(heights), prior.std**2)
    like = prior.start(jax.random.key(0))
    axes = (jnp.zeros(1), jnp.zeros(1), jnp.asarray(heights))

    def drawn(key):
        leaves, structure = jax.tree.flatten(like)
        keys = jax.random.split(key, len(leaves))
        normal = [jax.random.normal(k, a.shape) for k, a in zip(keys, leaves, strict=True)]
        return prior.field(jax.tree.unflatten(structure, normal)).on_grid(axes)[0, 0]

    keys = jax.random.split(key_for(0, "prior variance of the mean"), _DRAWS)
    return np.asarray(jnp.var(jax.vmap(drawn)(keys), axis=0), dtype=np.float64)


def resolved_variance(prior: SumPrior, heights: Float[np.ndarray, " h"]) -> Float[np.ndarray, " h"]:
    """Prior variance of ln rho of a Fourier fit, mean and all, at heights z [kpc]."""
    mean = mean_variance(prior.parts["mean"], heights)
    return mean + series_variance(prior.parts["varying"])
