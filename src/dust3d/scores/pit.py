"""Whether stars fall where their predicted distributions say: probability integral transforms.

The share of a star's predictive distribution below what was measured is uniform between 0 and 1
if the distribution is right (Dawid 1984).
"""

from typing import Any

import numpy as np
from scipy.stats import kstest

from dust3d.keys import generator_for
from dust3d.scores.heldout import clustered_mean

_BINS = 20
_LEVELS = 500
_DRAWS = 4000


def effective_number(pit: np.ndarray, cluster: np.ndarray) -> float | None:
    """How many independent stars would leave the empirical distribution as uncertain.

    The variance of independent stars over that of clusters, both averaged over the
    distribution; at most the number of stars. One cluster alone tells none: None.
    """
    if len(np.unique(cluster)) < 2:
        return None
    independent = clustered = 0.0
    for level in np.arange(1, _BINS) / _BINS:
        share, error = clustered_mean((pit <= level).astype(float), cluster)
        independent += share * (1 - share)
        clustered += (error or 0.0) ** 2
    return min(float(len(pit)), independent / clustered) if clustered > 0 else float(len(pit))


def _chance(distance: float, pit: np.ndarray, cluster: np.ndarray) -> float | None:
    """How often clusters of stars are as far from their own distribution by chance.

    What each cluster adds to the empirical distribution is taken times a standard normal
    number, again and again: a bootstrap whose draws go together as the stars do.
    """
    _, number = np.unique(cluster, return_inverse=True)
    groups = int(number.max()) + 1
    if groups < 2:
        return None
    # the step of the empirical distribution that each star makes, summed over clusters
    level = np.minimum((pit * _LEVELS).astype(int), _LEVELS - 1)
    counts = np.zeros((groups, _LEVELS))
    np.add.at(counts, (number, level), 1)
    below = np.cumsum(counts, axis=1)
    stars, share = below[:, -1:], below.sum(axis=0) / len(pit)
    parts = (below - stars * share) * np.sqrt(groups / (groups - 1)) / len(pit)
    draws = generator_for(0, "clusters of transforms").standard_normal((_DRAWS, groups))
    farthest = np.abs(draws @ parts).max(axis=1)
    return float((1 + np.sum(farthest >= distance)) / (1 + _DRAWS))


def pit_scores(pit: np.ndarray, cluster: np.ndarray) -> dict[str, Any]:
    """How far transforms are from uniform.

    Parameters
    ----------
    pit
        Between 0 and 1, one for each star.
    cluster
        Stars of one cluster are not independent.

    Returns
    -------
    `n`, and `n_effective`, of independent stars; `ks`, the largest distance of the distribution
    to the uniform one, and `p`, how often clusters are as far by chance; `histogram`, the
    share of stars in each of 20 equal bins.
    """
    distance = float(kstest(pit, "uniform").statistic)
    counts, _ = np.histogram(pit, _BINS, (0, 1))
    return {
        "n": len(pit),
        "n_effective": effective_number(pit, cluster),
        "ks": distance,
        "p": _chance(distance, pit, cluster),
        "histogram": (counts / len(pit)).tolist(),
    }
