"""The density along the sightlines of a sample of stars, for approximations of the metric.

Of an uncertain distance the mean of A over its cells is one integral along the ray to the farthest:
of rho times the share of the cells beyond. That is all that the metric's J needs.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dust3d.fields.base import Field
from dust3d.inference.likelihood import Stars
from dust3d.inference.target import Target
from dust3d.rays.nodes import legendre_nodes

CHUNK = 256
"""Stars that are worked on at once; samples are filled up to whole chunks."""


class Profiles(NamedTuple):
    """Rays of a sample of stars, and how well each star's extinction is known.

    Parameters
    ----------
    positions
        Ends of the rays [kpc]: stars, or the farthest cells of uncertain distances.
    nodes
        Distances of the nodes from the Sun, in units of the ray's length.
    steps
        What each node adds to A [mag]: weight, distance and density; where distances are uncertain
        times the share of their cells beyond.
    density
        rho at the nodes [mag / kpc].
    stars
        The measured stars.
    about_mean, about_variance
        Fisher information of each about its mean [1 / mag^2] and variance [1 / mag^4].
    share
        Stars of the fit for each of these.

    The number of stars is a multiple of `CHUNK`; those that fill up have weight 0.
    """

    positions: Float[Array, "n ndim"]
    nodes: Float[Array, " nodes"]
    steps: Float[Array, "n nodes"]
    density: Float[Array, "n nodes"]
    stars: Stars
    about_mean: Float[Array, " n"]
    about_variance: Float[Array, " n"]
    share: float


def points_on(positions: Array, nodes: Array) -> Float[Array, "points ndim"]:
    """All nodes of all rays [kpc], those of a ray together."""
    return (nodes[None, :, None] * positions[:, None, :]).reshape(-1, positions.shape[1])


@eqx.filter_jit
def _ln_density(field: Field, positions: Array, nodes: Array) -> Float[Array, "n nodes"]:
    """ln rho at all nodes, chunk after chunk."""
    chunks = positions.reshape(-1, CHUNK, positions.shape[1])
    found = jax.lax.map(lambda some: field.at(points_on(some, nodes)), chunks)
    return found.reshape(len(positions), -1)


def _seen(stars: Stars, length: Array, weights: Array) -> Float[Array, "n cells nodes"]:
    """Which part of what a node stands for lies before each cell of a distance posterior."""
    assert stars.cells is not None
    ends = jnp.cumsum(weights)
    reach = stars.cells.distance / length[:, None]
    return jnp.clip((reach[..., None] - (ends - weights)) / weights, 0, 1)


def profiles_of(
    target: Target, xi: Any, positions: np.ndarray, stars: Stars, *, nodes: int, share: float
) -> Profiles:
    """Rays of a sample of stars through the field at xi.

    Parameters
    ----------
    target, xi
        The posterior, and the place in it.
    positions, stars
        The sample; positions [kpc].
    nodes
        Gauss-Legendre nodes on each ray.
    share
        Stars of the fit for each of the sample.
    """
    dtype = stars.extinction.dtype
    t, w = (jnp.asarray(v, dtype) for v in legendre_nodes(nodes))
    fill = -len(positions) % CHUNK
    places = jnp.asarray(np.pad(positions, ((0, fill), (0, 0)), mode="edge"), dtype)
    stars = jax.tree.map(
        lambda a: jnp.pad(a, ((0, fill), *[(0, 0)] * (a.ndim - 1)), mode="edge"), stars
    )
    stars = stars._replace(weight=stars.weight * (jnp.arange(len(places)) < len(positions)))
    if stars.cells is not None:
        farthest = stars.cells.distance[:, -1] / jnp.linalg.norm(places, axis=1)
        places = places * farthest[:, None]
    density = jnp.exp(_ln_density(target.prior.field(xi["field"]), places, t))
    length = jnp.linalg.norm(places, axis=1)
    steps, held = length[:, None] * w * density, 0.0
    nuisance = target.likelihood.nuisance(xi["likelihood"])
    if stars.cells is not None:
        before = _seen(stars, length, w)
        extinction = jnp.einsum("ncs,ns->nc", before, steps)
        squared = jnp.einsum("ncs,ns->nc", before, steps * density)
        shares = target.likelihood.measured_shares(nuisance, extinction, squared, stars)
        held = target.likelihood.distance_variance(extinction, stars, shares)
        steps = steps * jnp.einsum("ncs,nc->ns", before, shares)
    first, second = steps.sum(axis=1), jnp.sum(steps * density, axis=1)
    _, variance = target.likelihood.moments(nuisance, first, second, stars)
    variance = variance + held
    about_mean, about_ln_variance = target.likelihood.fisher(variance)
    about_variance = about_ln_variance / variance**2
    return Profiles(places, t, steps, density, stars, about_mean, about_variance, share)
