"""How often intervals hold what they are made for."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import norm

from dust3d.scores.heldout import clustered_mean

SHARES = (0.68, 0.95)
"""What central intervals claim to hold."""


class Ranks:
    """Where true values stand among samples, which come one after another.

    Parameters
    ----------
    truth
        True values, of any shape.
    """

    def __init__(self, truth: np.ndarray):
        self._truth = truth
        self._below = np.zeros(truth.shape, dtype=np.int32)
        self._number = 0

    def add(self, sample: np.ndarray) -> None:
        """Count one sample of all values."""
        self._below += sample < self._truth
        self._number += 1

    def inside(self, share: float) -> np.ndarray:
        """Whether each truth is in the central interval: 1, 0, or between where its rank is cut.

        Of n samples from the truth's own distribution each of the n + 1 ranks is as likely,
        and the mean over them is `share`, whatever n.
        """
        ranks = self._number + 1
        low, high = (0.5 - share / 2) * ranks, (0.5 + share / 2) * ranks
        held = np.minimum(self._below + 1, high) - np.maximum(self._below, low)
        return np.clip(held, 0, 1)


def pit_inside(pit: np.ndarray) -> Callable[[float], np.ndarray]:
    """Whether measured values are in the central intervals of their distributions."""
    return lambda share: (np.abs(pit - 0.5) < share / 2).astype(float)


def normal_inside(error: np.ndarray, std: np.ndarray) -> Callable[[float], np.ndarray]:
    """Whether errors are in the central intervals of Gaussians of these standard deviations."""
    return lambda share: (np.abs(error) < norm.ppf(0.5 + share / 2) * std).astype(float)


def coverage(
    inside: Callable[[float], np.ndarray],
    cluster: np.ndarray,
    where: np.ndarray | None = None,
) -> dict[str, Any]:
    """Shares of values that are in their 68 and 95 % intervals.

    Parameters
    ----------
    inside
        From what an interval claims to hold to whether each value is in it.
    cluster
        Values of one cluster are not independent.
    where
        Which values count; none: all.

    Returns
    -------
    `n`, and for `68` and `95` the `share` with its `standard_error`; none without values.
    """
    chosen = np.ones(cluster.shape, dtype=bool) if where is None else where
    found: dict[str, Any] = {"n": int(chosen.sum())}
    for share in SHARES:
        mean, error = None, None
        if found["n"]:
            mean, error = clustered_mean(inside(share)[chosen], cluster[chosen])
        found[f"{100 * share:.0f}"] = {"share": mean, "standard_error": error}
    return found
