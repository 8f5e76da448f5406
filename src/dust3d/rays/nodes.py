"""Exact rays: Gauss-Legendre quadrature of the density along each sightline.

The right-hand side of dA/dt = |x| rho(t x) does not depend on A, so the solution
at t = 1 is the integral |x| int_0^1 rho(t x) dt, and for a smooth field n nodes
have it to an error that falls faster than any power of n.
"""

from collections.abc import Sequence
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dust3d.fields.base import Field
from dust3d.transforms.nonuniform import Evaluator

_POINTS_PER_CHUNK = 1 << 15


@lru_cache(maxsize=64)
def legendre_nodes(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes in (0, 1) and weights that sum to 1."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    return (x + 1) / 2, w / 2


@lru_cache(maxsize=16)
def integration_matrix(nodes: int) -> np.ndarray:
    """Matrix from values at the nodes to integrals from 0 to each node.

    Exact for polynomials of degree below `nodes`: values are turned into Legendre
    coefficients, which are integrated term by term.
    """
    t, w = legendre_nodes(nodes)
    x = 2 * t - 1
    legendre = np.polynomial.legendre.legvander(x, nodes)
    to_coefficients = (2 * np.arange(nodes) + 1)[:, None] * legendre[:, :nodes].T * w
    below = np.concatenate([-np.ones((nodes, 1)), legendre[:, : nodes - 1]], axis=1)
    integrals = (legendre[:, 1 : nodes + 1] - below) / (2 * (2 * np.arange(nodes) + 1))
    # int_{-1}^{x} P_0 = x + 1: the rule above with P_{-1} = -1
    return integrals @ to_coefficients


def nodes_for(order: Sequence[int], half_widths: Sequence[float], reach_kpc: float) -> int:
    """Nodes that bring 99 % of the stars of a unit-variance field within 1e-4 mag.

    Fitted to the node counts 20 / 32 / 64 that orders 10 / 20 / 40 of a box of
    half-width 10 kpc need at distances up to 8 sqrt(2) kpc: about 2.6 per wavelength
    of the highest mode that the longest ray crosses, and a few more.
    """
    k = float(np.max(np.pi * np.asarray(order) / np.asarray(half_widths)))
    return int(np.ceil(10 + 2.6 * k * reach_kpc / (2 * np.pi)))


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
    nodes: int,
    evaluator: Evaluator | None = None,
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """int rho ds [mag] and int rho^2 ds [mag^2 / kpc] from the Sun to each star [kpc]."""
    t, w = (jnp.asarray(v, stars.dtype) for v in legendre_nodes(nodes))
    points = (t[None, :, None] * stars[:, None, :]).reshape(-1, stars.shape[1])
    density = jnp.exp(field.at(points, evaluator)).reshape(len(stars), nodes)
    distance = jnp.linalg.norm(stars, axis=1)
    return distance * (density @ w), distance * (density**2 @ w)


@eqx.filter_jit
def _chunked(field: Field, stars: Float[Array, "c m ndim"], nodes: int):
    return jax.lax.map(lambda chunk: moments(field, chunk, nodes=nodes), stars)


def extinctions(field: Field, positions: Float[Array, "n ndim"], nodes: int) -> Float[Array, " n"]:
    """Extinctions [mag] from the Sun to many stars [kpc], in chunks of bounded memory."""
    n = positions.shape[0]
    chunk = max(1, min(n, _POINTS_PER_CHUNK // nodes))
    padded = jnp.concatenate([positions, jnp.repeat(positions[-1:], -n % chunk, axis=0)])
    first, _ = _chunked(field, padded.reshape(-1, chunk, positions.shape[1]), nodes)
    return first.reshape(-1)[:n]


def profile(
    field: Field, star: Float[Array, " ndim"], *, nodes: int
) -> tuple[Float[Array, " nodes"], Float[Array, " nodes"]]:
    """Distances of the nodes [kpc] and the extinction [mag] from the Sun to each."""
    t, _ = legendre_nodes(nodes)
    points = jnp.asarray(t, star.dtype)[:, None] * star
    density = jnp.exp(field.at(points))
    distance = jnp.linalg.norm(star)
    matrix = jnp.asarray(integration_matrix(nodes), star.dtype)
    return distance * jnp.asarray(t, star.dtype), distance * (matrix @ density)
