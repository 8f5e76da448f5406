"""How exact the rays of a fit are, on the field that was fitted."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from dust3d.errors import FitError
from dust3d.fields.base import Field
from dust3d.inference.target import Sightlines
from dust3d.keys import generator_for
from dust3d.observations import Observations
from dust3d.rays.nodes import extinctions

_SAMPLE = 1500
_MOST_NODES = 1 << 12


@dataclass(frozen=True)
class RayAccuracy:
    """Errors of a fit's rays against exact ones.

    Parameters
    ----------
    nodes
        Nodes per ray of the exact ones.
    nodes_error_mag
        99.9th percentile of |A_n - A_2n| [mag].
    error_sigma_median, error_sigma_p99
        Percentiles of |A - exact A| in units of each star's stated sigma.
    """

    nodes: int
    nodes_error_mag: float
    error_sigma_median: float
    error_sigma_p99: float


def sample_rows(n: int, seed: int) -> np.ndarray:
    """A random sample of stars that stands for all of them."""
    return np.sort(generator_for(seed, "sample of rays").permutation(n)[:_SAMPLE])


def settle_nodes(
    field: Field, observations: Observations, first: int, limit_sigma: float
) -> tuple[int, float, np.ndarray]:
    """Double the nodes until the 99.9th percentile of |A_n - A_2n| is below the limit.

    Parameters
    ----------
    field
        The field.
    observations
        The stars.
    first
        Nodes to begin with.
    limit_sigma
        Limit in units of the smallest sigma.

    Returns
    -------
    Nodes n, the percentile [mag], and the extinctions with 2 n nodes.

    Raises
    ------
    FitError
        If a few thousand nodes are not enough: the field is too rough to integrate.
    """
    positions = jnp.asarray(observations.positions)
    limit = limit_sigma * float(observations.sigma.min())
    nodes, coarse = first, np.asarray(extinctions(field, positions, first))
    while True:
        fine = np.asarray(extinctions(field, positions, 2 * nodes))
        error = float(np.percentile(np.abs(fine - coarse), 99.9))
        if error < limit:
            return nodes, error, fine
        nodes, coarse = 2 * nodes, fine
        if nodes > _MOST_NODES or not np.isfinite(error):
            raise FitError(
                f"with {nodes} nodes on each ray extinctions still change by {error:.2g} mag: the "
                "field is too rough to integrate; lower the learning rate or the order"
            )


def ray_accuracy(
    field: Field,
    rays: Sightlines,
    rows: np.ndarray,
    observations: Observations,
    *,
    first_nodes: int,
    limit_sigma: float,
    seed: int,
) -> RayAccuracy:
    """Compare the rays that a fit used with exact ones, on a sample of the stars.

    Parameters
    ----------
    field
        The fitted field.
    rays, rows
        The fit's sightlines, and the star of each row of each batch (-1: none).
    observations
        The stars.
    first_nodes, limit_sigma
        As for `settle_nodes`.
    seed
        The run's seed.
    """
    sample = sample_rows(len(observations), seed)
    found = np.zeros(len(observations))
    for batch, members in enumerate(rows):
        values, _ = rays.moments(field, jnp.asarray(batch), False)
        found[members[members >= 0]] = np.asarray(values)[members >= 0]
    some = observations.take(sample)
    nodes, nodes_error, exact = settle_nodes(field, some, first_nodes, limit_sigma)
    error = np.abs(found[sample] - exact) / some.sigma
    median, p99 = np.percentile(error, [50, 99])
    return RayAccuracy(nodes, nodes_error, float(median), float(p99))
