"""F with F M F^T near 1 and ln det F known: then ln det M = ln det(F M F^T) - 2 ln det F.

The packets that precondition solutions have no square root at hand. This has: dense for the
longest waves and all that is no mode, one number for each shell of |k| beyond.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from dust3d.fields.modes import wavenumbers
from dust3d.inference.batches import stars_of
from dust3d.inference.lowmodes import LowModes, join, low_modes, split
from dust3d.inference.prior import Xi
from dust3d.inference.products import Products
from dust3d.inference.profiles import profiles_of
from dust3d.observations import Observations

Vector = Float[Array, " p"]

_PROBES = 10
_MODES_PER_SHELL = 30
_MOST_SHELLS = 60


class Half(eqx.Module):
    """F: the inverse Cholesky factor of the block, and 1 / sqrt(diagonal) of the other modes.

    Parameters
    ----------
    block
        The longest modes and all that is no mode.
    scale
        Of the cosine and the sine of each other mode.
    low
        How many modes the block has.
    like
        Whitened parameters, for their structure.
    """

    block: LowModes
    scale: Float[Array, " k"]
    low: int = eqx.field(static=True)
    like: Xi

    def _scaled(self, flat: Vector, by: Callable[[Array], Array]) -> Vector:
        _, unravel = ravel_pytree(self.like)
        vector, undo, (cos, sin) = split(unravel(flat), self.low)
        return ravel_pytree(join(undo(by(vector)), (self.scale * cos, self.scale * sin)))[0]

    @eqx.filter_jit
    def __call__(self, flat: Vector) -> Vector:
        """F times a vector."""
        return self._scaled(flat, lambda v: self.block.inverse_factor @ v)

    @eqx.filter_jit
    def transposed(self, flat: Vector) -> Vector:
        """F^T times a vector."""
        return self._scaled(flat, lambda v: v @ self.block.inverse_factor)

    @property
    def log_determinant(self) -> float:
        """ln det F."""
        own = np.sum(np.log(np.diag(np.asarray(self.block.inverse_factor))))
        return float(own + 2 * np.sum(np.log(np.asarray(self.scale))))


def half_of(
    products: Products,
    flat: Vector,
    sample: Observations,
    key: PRNGKeyArray,
    *,
    nodes: int,
    most: int,
) -> Half:
    """F at one place of the posterior of a Fourier fit.

    Parameters
    ----------
    products, flat
        The metric, and the place; a few products find its diagonal.
    sample
        Random stars that stand for all in the dense block.
    key
        Of the random signs of those products.
    nodes
        On the rays of the sample.
    most
        Parameters of the dense block at most, those that are no modes beside.
    """
    target, xi = products.target, products.unravel(flat)
    number = xi["field"]["varying"]["cos"].size
    low = min(number, most // 2)
    rows = np.arange(len(sample))
    stars = jax.tree.map(lambda a: a[0], stars_of(sample, rows[None], flat.dtype))
    share = products.batches.number / len(sample)
    rays = profiles_of(target, xi, sample.positions, stars, nodes=nodes, share=share)
    block, like = low_modes(target, xi, rays, low), jax.tree.map(jnp.zeros_like, xi)
    if low == number:
        return Half(block, jnp.zeros(0, flat.dtype), low, like)
    return Half(block, 1 / jnp.sqrt(_diagonal(products, flat, key, low)), low, like)


def _diagonal(products: Products, flat: Vector, key: PRNGKeyArray, low: int) -> Float[Array, " k"]:
    """Of M in the modes from number `low` on, averaged over shells of |k|, by random signs."""
    anchors, total = products.expand(flat)[2], jnp.zeros_like(flat)
    for own in jax.random.split(key, _PROBES):
        signs = jax.random.rademacher(own, flat.shape, flat.dtype)
        total = total + signs * products.multiply(flat, anchors, signs)
    _, _, (cos, sin) = split(products.unravel(total / _PROBES), low)
    mean = np.asarray(cos + sin) / 2
    prior = products.target.prior.parts["varying"]
    k = wavenumbers(prior.modes, prior.half_widths)[low:]
    shells = int(np.clip(len(k) // _MODES_PER_SHELL, 1, _MOST_SHELLS))
    edges = np.quantile(k, np.linspace(0, 1, shells + 1)[1:-1])
    shell = np.searchsorted(edges, k, side="right")
    number = np.maximum(np.bincount(shell, minlength=shells), 1)
    averaged = np.bincount(shell, mean, minlength=shells) / number
    # M = 1 + something positive: less is chance
    return jnp.asarray(np.maximum(averaged[shell], 1.0), flat.dtype)
