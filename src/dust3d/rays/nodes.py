"""Exact rays: Gauss-Legendre quadrature of the density along each sightline.

The right-hand side of dA/dt = |x| rho(t x) does not depend on A, so the solution
at t = 1 is the integral |x| int_0^1 rho(t x) dt, and for a smooth field n nodes
have it to an error that falls faster than any power of n. All nodes of all stars
go through one evaluation of the field.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
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
def _chunked(
    field: Field, stars: Float[Array, "c m ndim"], nodes: int, evaluator: Evaluator | None
) -> Float[Array, "c m"]:
    def chunk(some: Float[Array, "m ndim"]) -> Float[Array, " m"]:
        return moments(field, some, nodes=nodes, evaluator=evaluator)[0]

    return chunk(stars[0])[None] if len(stars) == 1 else jax.lax.map(chunk, stars)


def extinctions(
    field: Field,
    positions: Float[Array, "n ndim"],
    nodes: int,
    evaluator: Evaluator | None = None,
) -> Float[Array, " n"]:
    """Extinctions [mag] from the Sun to many stars [kpc], in chunks of bounded memory."""
    n = positions.shape[0]
    chunk = max(1, min(n, _POINTS_PER_CHUNK // nodes))
    padded = jnp.concatenate([positions, jnp.repeat(positions[-1:], -n % chunk, axis=0)])
    stars = padded.reshape(-1, chunk, positions.shape[1])
    return _chunked(field, stars, nodes, evaluator).reshape(-1)[:n]


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
