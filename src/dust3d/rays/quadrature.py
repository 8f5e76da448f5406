"""Where a ray is sampled: Gauss-Legendre rules, in panels where a ray is long."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float

# a rule of more nodes is slow to make, and hardly better than panels
_LONGEST_RULE = 128
_PANEL = 64
_BANDS = 8
_FEWEST_STARS = 64
# nodes that a ray of no length takes, and at least this share of those of the longest; few
# stars lie at the end: a 99th percentile needs all nodes already at this share of the longest
_FEWEST_NODES = 8
_SHORTEST_SHARE = 0.1
_FULL_AT = 0.8

Bands = tuple[tuple[int, int], ...]


def panels_for(nodes: int) -> tuple[int, int]:
    """Panels of equal length, and nodes in each, with at least so many nodes in all."""
    panels = 1 if nodes <= _LONGEST_RULE else -(-nodes // _PANEL)
    return panels, -(-nodes // panels)


@lru_cache(maxsize=64)
def legendre_nodes(
    nodes: int,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Nodes in (0, 1) and weights that sum to 1: Gauss-Legendre, in panels if they are many.

    Returns
    -------
    At least as many nodes as were asked for: a multiple of the panels.
    """
    panels, size = panels_for(nodes)
    x, w = np.polynomial.legendre.leggauss(size)
    t = (np.arange(panels)[:, None] + (x + 1) / 2) / panels
    return t.ravel(), np.tile(w / (2 * panels), panels)


def panel_integrals(size: int, ends: Float[np.ndarray, " e"]) -> Float[np.ndarray, "e n"]:
    """Matrix from values at the nodes of one panel to integrals from its start to `ends`.

    Exact for polynomials of degree below `size`: values are turned into Legendre
    coefficients, which are integrated term by term. In units of the panel's length;
    ends in [0, 1].
    """
    return legendre_integrals(size, ends) @ to_legendre(size)


@lru_cache(maxsize=16)
def to_legendre(size: int) -> Float[np.ndarray, "n n"]:
    """Matrix from values at the nodes of one panel to Legendre coefficients."""
    x, w = np.polynomial.legendre.leggauss(size)
    legendre = np.polynomial.legendre.legvander(x, size - 1)
    return (np.arange(size) + 0.5)[:, None] * legendre.T * w


def legendre_integrals(size: int, ends: Float[np.ndarray, " e"]) -> Float[np.ndarray, "e n"]:
    """Integrals of the shifted Legendre polynomials of degree below `size` from 0 to ends."""
    legendre = np.polynomial.legendre.legvander(2 * ends - 1, size)
    # int_{-1}^{x} P_0 = x + 1: the rule of the others with P_{-1} = -1
    below = np.concatenate([-np.ones((len(ends), 1)), legendre[:, : size - 1]], axis=1)
    return (legendre[:, 1:] - below) / (2 * (2 * np.arange(size) + 1))


@lru_cache(maxsize=16)
def integration_matrix(nodes: int) -> Float[np.ndarray, "n n"]:
    """Matrix from values at `legendre_nodes` to integrals from 0 to each node."""
    panels, size = panels_for(nodes)
    one, weights = legendre_nodes(size)
    inside = np.kron(np.eye(panels), panel_integrals(size, one))
    before = np.kron(np.tri(panels, k=-1), np.tile(weights, (size, 1)))
    return (inside + before) / panels


def nodes_for(order: Sequence[int], half_widths: Sequence[float], reach_kpc: float) -> int:
    """Nodes that bring 99 % of the stars of a unit-variance field within 1e-4 mag.

    Fitted to the node counts 20 / 32 / 64 that orders 10 / 20 / 40 of a box of
    half-width 10 kpc need at distances up to 8 sqrt(2) kpc: about 3.1 per wavelength
    of the highest mode that the longest ray crosses, and a few more.
    """
    k = float(np.max(np.pi * np.asarray(order) / np.asarray(half_widths)))
    return int(np.ceil(_FEWEST_NODES + 3.1 * k * reach_kpc / (2 * np.pi)))


def bands_for(distances: Float[np.ndarray, "batches n"], nodes: int) -> Bands:
    """Stars in bands of distance, and the nodes of each: near stars do not pay for far ones.

    Parameters
    ----------
    distances
        Distances of the stars of each batch, rising.
    nodes
        Nodes of the longest ray. Those of others fall with their length, as in `nodes_for`.

    Returns
    -------
    (stars, nodes) of each band from the nearest to the farthest, the same for all batches.
    """
    size = distances.shape[1]
    count = int(np.clip(size // _FEWEST_STARS, 1, _BANDS))
    ends = np.linspace(0, size, count + 1).astype(int)[1:]
    farthest = distances[:, ends - 1].max(axis=0)
    fewest = min(nodes, max(_FEWEST_NODES, _SHORTEST_SHARE * nodes))
    share = farthest / max(farthest[-1], np.finfo(float).tiny)
    each = np.ceil(fewest + (nodes - fewest) * np.minimum(share / _FULL_AT, 1)).astype(int)
    return tuple(zip(np.diff(ends, prepend=0).tolist(), each.tolist(), strict=True))
