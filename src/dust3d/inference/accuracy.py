"""How exact the rays of a fit are, on the field that was fitted."""

from dataclasses import dataclass

import numpy as np

from dust3d import processes
from dust3d.errors import FitError
from dust3d.fields.base import Field
from dust3d.inference.batches import StarBatches
from dust3d.keys import generator_for
from dust3d.observations import Observations
from dust3d.rays.nodes import extinctions
from dust3d.rays.settle import settle

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
    Nodes n, the percentile [mag], and the extinctions with 2 n nodes: (n,), or (n, cells) where
    distances are uncertain.

    Raises
    ------
    FitError
        If a few thousand nodes are not enough: the field is too rough to integrate.
    """
    ends = np.asarray(observations.ends)
    positions = ends.reshape(-1, ends.shape[-1])
    settled = settle(
        lambda rows, nodes: extinctions(field, positions[rows], nodes),
        len(positions),
        first=first,
        most=2 * _MOST_NODES,
        tolerance_mag=limit_sigma * float(observations.sigma.min()),
        percentile=99.9,
        each=False,
    )
    if settled.nodes is None:
        raise FitError(
            f"with {settled.finest} nodes on each ray extinctions still change by "
            f"{settled.change_mag:.2g} mag: the field is too rough to integrate; lower the "
            "learning rate or the order"
        )
    return settled.nodes, settled.change_mag, settled.values.reshape(ends.shape[:-1])


def ray_accuracy(
    field: Field,
    batches: StarBatches,
    sample: Observations,
    *,
    first_nodes: int,
    limit_sigma: float,
) -> RayAccuracy:
    """Compare rays as a fit uses them with exact ones.

    Parameters
    ----------
    field
        The fitted field.
    batches
        A sample of the stars, with sightlines made as the fit's.
    sample
        The same stars, in the order of the batches.
    first_nodes, limit_sigma
        As for `settle_nodes`.
    """
    parts = []
    for rays, batch, stars in batches.walk():
        values, _ = rays.moments(field, batch, False)
        parts.append(np.asarray(values)[np.asarray(stars.weight) > 0])
    nodes, nodes_error, exact = settle_nodes(field, sample, first_nodes, limit_sigma)
    # all rays count alike, those to the cells of an uncertain distance too
    error = np.abs(np.concatenate(parts) - exact).T / sample.sigma
    median, p99 = np.percentile(error, [50, 99])
    # finer rays for one process are finer rays for all
    found = processes.agreed([nodes, nodes_error, float(median), float(p99)])
    return RayAccuracy(*found)
