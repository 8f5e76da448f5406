"""The metric's block of the longest waves, the mean and the likelihood's own parameters.

It is formed from a sample of the stars, which stands for all: the few hundred stars per
parameter that there are would say the same.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from dust3d.errors import FitError
from dust3d.inference.prior import FourierPrior, Xi
from dust3d.inference.profiles import CHUNK, Profiles, points_on
from dust3d.inference.target import Target
from dust3d.transforms import separable

# of the diagonal: rounding in single precision must not make the block indefinite
_JITTERS = (3e-6, 3e-5, 3e-4, 3e-3)


def split(xi: Xi, low: int) -> tuple[Float[Array, " p"], Any, tuple[Array, Array]]:
    """Whitened parameters as one vector of the dense block, and the other modes.

    Returns
    -------
    The `low` first modes and all that is no mode as one vector; the function that undoes this;
    cos and sin of the other modes.
    """
    varying = xi["field"]["varying"]
    rest = {"mean": xi["field"]["mean"], "likelihood": xi["likelihood"]}
    modes = {"cos": varying["cos"][:low], "sin": varying["sin"][:low]}
    vector, undo = ravel_pytree((modes, rest))
    return vector, undo, (varying["cos"][low:], varying["sin"][low:])


def join(modes_and_rest: Any, high: tuple[Array, Array]) -> Xi:
    """The whitened parameters that `split` took apart."""
    modes, rest = modes_and_rest
    varying = {
        name: jnp.concatenate([modes[name], part])
        for name, part in zip(("cos", "sin"), high, strict=True)
    }
    return {
        "field": {"varying": varying, "mean": rest["mean"]},
        "likelihood": rest["likelihood"],
    }


def _mode_columns(
    prior: FourierPrior, modes: np.ndarray, positions: Array, nodes: Array, steps: Array
) -> Float[Array, "n columns"]:
    """Derivatives of A in the whitened cosines and sines of some modes, by direct sums."""
    most = np.abs(modes).max(axis=0)
    box, ndim = prior.half_widths, modes.shape[1]
    points = nodes[None, :, None] * positions[:, None, :]

    def waves(axis: int, numbers: np.ndarray) -> Array:
        flat = separable.phases(points[..., axis].reshape(-1), numbers, box[axis])
        return flat.reshape(*steps.shape, -1)

    first = waves(0, np.arange(most[0] + 1)) * steps[..., None]
    second = waves(1, np.arange(-most[1], most[1] + 1))
    if ndim == 3:
        third = waves(2, np.arange(-most[2], most[2] + 1))
        second = (second[..., :, None] * third[..., None, :]).reshape(*steps.shape, -1)
    sums = jnp.einsum("snx,sny->sxy", first, second).reshape(len(positions), -1)
    place = modes[:, 0]
    for axis in range(1, ndim):
        place = place * (2 * most[axis] + 1) + modes[:, axis] + most[axis]
    scales = jnp.asarray(prior.scales[: len(modes)], steps.dtype)
    chosen = sums[:, place] * scales
    return jnp.concatenate([chosen.real, chosen.imag], axis=1)


class LowModes(eqx.Module):
    """The inverse of the block, as S^T S.

    Parameters
    ----------
    inverse_factor
        S: the inverse of the Cholesky factor. Products with it are ten times faster
        than solving with the factor.
    """

    inverse_factor: Float[Array, "p p"]

    def solve(self, right: Float[Array, " p"]) -> Float[Array, " p"]:
        """The block's inverse times a vector."""
        return (self.inverse_factor @ right) @ self.inverse_factor


def low_modes(target: Target, xi: Xi, profiles: Profiles, low: int) -> LowModes:
    """The block of the `low` longest modes and of all that is no mode.

    Parameters
    ----------
    target, xi
        The posterior, and the place in it.
    profiles
        Rays of a sample of stars.
    low
        How many modes.

    Raises
    ------
    FitError
        If rounding makes the block indefinite.
    """
    rest = {"mean": xi["field"]["mean"], "likelihood": xi["likelihood"]}
    for jitter in _JITTERS:
        block = LowModes(_inverse_factor(target, rest, profiles, low, jnp.asarray(jitter)))
        if bool(jnp.all(jnp.isfinite(block.inverse_factor))):
            return block
    raise FitError(
        "the metric of the longest waves is not positive in this precision; set "
        "optimiser.precision: float64, or look for stars with absurd errors"
    )


def _chunk_block(target: Target, rest: Any, some: Profiles, low: int) -> Float[Array, "p p"]:
    """What a chunk of the sample adds to the block."""
    parts = target.prior.parts
    prior: FourierPrior = parts["varying"]
    flat, unravel = ravel_pytree(rest)
    points = points_on(some.positions, some.nodes)
    before = parts["mean"].field(rest["mean"]).at(points)

    def outputs(flat):
        here = unravel(flat)
        change = parts["mean"].field(here["mean"]).at(points) - before
        ratio = jnp.exp(change).reshape(some.steps.shape)
        first = jnp.sum(some.steps * ratio, axis=1)
        second = jnp.sum(some.steps * some.density * ratio**2, axis=1)
        nuisance = target.likelihood.nuisance(here["likelihood"])
        return target.likelihood.moments(nuisance, first, second, some.stars)

    by_mean, by_variance = jax.jacfwd(outputs)(flat)
    columns = _mode_columns(prior, prior.modes[:low], some.positions, some.nodes, some.steps)
    left = jnp.concatenate([columns, by_mean], axis=1)
    left = left * jnp.sqrt(some.stars.weight * some.about_mean)[:, None]
    right = by_variance * jnp.sqrt(some.stars.weight * some.about_variance)[:, None]
    corner = slice(columns.shape[1], None)
    return (left.T @ left).at[corner, corner].add(right.T @ right)


# all that changes from step to step is an argument: a step later nothing is compiled again
@eqx.filter_jit
def _inverse_factor(
    target: Target, rest: Any, profiles: Profiles, low: int, jitter: Float[Array, ""]
) -> Float[Array, "p p"]:
    """Of the sum over chunks of stars, with the prior's 1 on the diagonal."""
    alike = profiles._replace(nodes=None, share=None)
    chunks = jax.tree.map(lambda a: a.reshape(-1, CHUNK, *a.shape[1:]), alike)

    def add(total: Array, some: Any) -> tuple[Array, None]:
        some = some._replace(nodes=profiles.nodes, share=profiles.share)
        return total + _chunk_block(target, rest, some, low), None

    size = 2 * low + sum(leaf.size for leaf in jax.tree.leaves(rest))
    block, _ = jax.lax.scan(add, jnp.zeros((size, size), profiles.steps.dtype), chunks)
    block = profiles.share * block + jnp.eye(size, dtype=block.dtype)
    scale = 1 / jnp.sqrt(jnp.diag(block))
    block = block * scale * scale[:, None]
    one = jnp.eye(size, dtype=block.dtype)
    factor = jnp.linalg.cholesky(block + one * jitter.astype(block.dtype))
    return jax.scipy.linalg.solve_triangular(factor, one, lower=True) * scale
