"""Exact rays: Gauss-Legendre quadrature of the density along each sightline.

The right-hand side of dA/dt = |x| rho(t x) does not depend on A, so the solution
at t = 1 is the integral |x| int_0^1 rho(t x) dt, and for a smooth field n nodes
have it to an error that falls faster than any power of n. All nodes of all stars
go through one evaluation of the field.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dust3d.fields.base import Field
from dust3d.rays.quadrature import Bands, integration_matrix, legendre_nodes
from dust3d.transforms.nonuniform import Evaluator

_POINTS_PER_CHUNK = 1 << 20


def extinction(field: Field, star: Float[Array, " ndim"], *, nodes: int) -> Float[Array, ""]:
    """Extinction [mag] from the Sun to one star [kpc]."""
    t, w = legendre_nodes(nodes)
    points = jnp.asarray(t, star.dtype)[:, None] * star
    density = jnp.exp(jax.vmap(field)(points))
    return jnp.linalg.norm(star) * (jnp.asarray(w, star.dtype) @ density)


def moments(
    field: Field,
    stars: Float[Array, "n ndim"],
    *,
    nodes: int | Bands,
    evaluator: Evaluator | None = None,
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """int rho ds [mag] and int rho^2 ds [mag^2 / kpc] from the Sun to each star [kpc].

    Parameters
    ----------
    field
        ln rho.
    stars
        Positions [kpc].
    nodes
        Nodes on each ray, or (stars, nodes) of one band of stars after the other.
    evaluator
        How Fourier series are evaluated.
    """
    bands = ((len(stars), nodes),) if isinstance(nodes, int) else nodes
    rules, points, done = [], [], 0
    for count, wanted in bands:
        t, w = (jnp.asarray(v, stars.dtype) for v in legendre_nodes(wanted))
        some = stars[done : done + count]
        points.append((t[None, :, None] * some[:, None, :]).reshape(-1, stars.shape[1]))
        rules.append((count, w))
        done += count
    density = jnp.exp(field.at(jnp.concatenate(points), evaluator))
    first, second, done = [], [], 0
    for count, w in rules:
        along = density[done : done + count * len(w)].reshape(count, len(w))
        first.append(along @ w)
        second.append(along**2 @ w)
        done += count * len(w)
    distance = jnp.linalg.norm(stars, axis=1)
    return distance * jnp.concatenate(first), distance * jnp.concatenate(second)


@eqx.filter_jit
def _ln_density(
    field: Field, points: Float[Array, "n ndim"], evaluator: Evaluator | None
) -> Float[Array, " n"]:
    return field.at(points, evaluator)


def density_at(
    field: Field, points: Float[np.ndarray, "n ndim"], evaluator: Evaluator | None = None
) -> Float[np.ndarray, " n"]:
    """rho [mag / kpc] at any number of positions [kpc], in chunks of bounded memory.

    Chunks have as many points as a power of two, so that few programs are compiled.
    """
    density = np.empty(len(points), points.dtype)
    for start in range(0, len(points), _POINTS_PER_CHUNK):
        some = points[start : start + _POINTS_PER_CHUNK]
        fill = (1 << (len(some) - 1).bit_length()) - len(some)
        padded = jnp.asarray(np.pad(some, ((0, fill), (0, 0)), mode="edge"))
        found = np.asarray(_ln_density(field, padded, evaluator))[: len(some)]
        np.exp(found, out=density[start : start + len(some)])
    return density


def extinctions(
    field: Field,
    positions: Float[Array, "n ndim"] | Float[np.ndarray, "n ndim"],
    nodes: int,
    evaluator: Evaluator | None = None,
) -> Float[np.ndarray, " n"]:
    """Extinctions [mag] from the Sun to any number of stars [kpc], in bounded memory."""
    places = np.asarray(positions)
    t, w = (v.astype(places.dtype) for v in legendre_nodes(nodes))
    found, rows = np.empty(len(places), places.dtype), max(1, _POINTS_PER_CHUNK // len(t))
    for start in range(0, len(places), rows):
        some = places[start : start + rows]
        points = (t[:, None] * some[:, None, :]).reshape(-1, places.shape[1])
        along = density_at(field, points, evaluator).reshape(len(some), len(t))
        found[start : start + rows] = np.linalg.norm(some, axis=1) * (along @ w)
    return found


def profile(
    field: Field, star: Float[Array, " ndim"], *, nodes: int
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Distances of the nodes [kpc] and the extinction [mag] from the Sun to each."""
    t, _ = legendre_nodes(nodes)
    points = jnp.asarray(t, star.dtype)[:, None] * star
    density = jnp.exp(field.at(points))
    distance = jnp.linalg.norm(star)
    matrix = jnp.asarray(integration_matrix(nodes), star.dtype)
    return distance * jnp.asarray(t, star.dtype), distance * (matrix @ density)
