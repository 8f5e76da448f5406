"""Extinctions whose quadrature has converged, value by value."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from dust3d.fields.base import Field
from dust3d.fields.scales import voxel_for
from dust3d.rays import nodes
from dust3d.rays.settle import Settled, settle
from dust3d.rays.shared import shared_rays
from dust3d.transforms.nonuniform import Evaluator

_FEWEST_NODES = 16
_PERCENTILE = 90.0
# error of ln rho over the tolerance [1 / mag]: A may be tens of magnitudes
_TRANSFORM = 1e-3
_FINEST_TRANSFORM = 1e-12
# `voxel_for` has two voxels to a cloud's sigma, and four to a half-wave
_VOXELS_APART = 4


def converged_extinctions(
    field: Field,
    positions: Float[np.ndarray, "n ndim"],
    tolerance_mag: float,
    *,
    batch: int,
    most_nodes: int,
    report: Callable[[int, Settled], None],
) -> Float[np.ndarray, " n"]:
    """Extinctions [mag] by quadrature on nodes that are doubled until no value changes.

    Positions are taken in the order of the structure that their rays cross, so that near
    ones, which need few nodes, do not wait for far ones. The first nodes are close enough to
    hit each cloud and each wave: what two node counts both miss would look converged.
    Positions in one direction share one integration.

    Parameters
    ----------
    field
        ln rho.
    positions
        Positions [kpc].
    tolerance_mag
        Largest change from n to 2 n nodes.
    batch
        Positions that settle together.
    most_nodes
        Nodes not to be exceeded.
    report
        Told of each batch: positions done so far, and how this batch settled.
    """
    evaluator = Evaluator(accuracy=max(_TRANSFORM * tolerance_mag, _FINEST_TRANSFORM))
    values = np.zeros(len(positions))
    away = np.flatnonzero(np.any(positions != 0, axis=1))
    places = positions[away]
    shared = shared_rays(places)
    if shared is None:
        needed = nodes_that_hit(field, places)
        order = np.argsort(needed, kind="stable")
    else:
        ends = shared.reach[:, None] * shared.directions
        needed = nodes_that_hit(field, ends)[shared.ray]
        # a ray's positions stay together
        order = np.lexsort((shared.ray, needed))
    last = _FEWEST_NODES
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        # more structure needs no fewer nodes than the batch before
        last = max(last, 1 << int(np.ceil(np.log2(max(1.0, needed[rows[-1]])))))

        def integrate(some: np.ndarray, count: int, rows: np.ndarray = rows) -> np.ndarray:
            if shared is None:
                return nodes.extinctions(field, places[rows[some]], count, evaluator)
            return shared.extinctions(field, rows[some], count, evaluator)

        settled = settle(
            integrate,
            len(rows),
            first=min(last, most_nodes // 2),
            most=most_nodes,
            tolerance_mag=tolerance_mag,
            percentile=_PERCENTILE,
            each=True,
        )
        values[away[rows]], last = settled.values, settled.nodes or last
        report(min(start + batch, len(order)), settled)
    return values


def nodes_that_hit(field: Field, positions: Float[np.ndarray, "n ndim"]) -> Float[np.ndarray, " n"]:
    """Nodes at most two sigma of the smallest cloud, and half the shortest wave, apart."""
    crossed = np.linalg.norm(positions / voxel_for(field, positions.shape[1]), axis=1)
    # Gauss-Legendre nodes are farthest apart in the middle: pi / 2 of the mean spacing
    return np.pi / 2 * crossed / _VOXELS_APART
