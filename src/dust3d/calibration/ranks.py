"""Ranks of truths among samples: whether they are uniform, and what intervals cover.

Where truths come from the prior and samples from the posterior, the number of samples below the
truth is uniform on 0, ..., S (Talts et al. 2018, arXiv 1804.06788). Bands about the empirical
distribution hold at all its points at once (Saeilynoja, Buerkner & Vehtari 2022, Statistics and
Computing 32, 32), their level found by simulation.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import binom

_SIMULATIONS = 10_000
_RESAMPLED = 2_000


class Coverage(NamedTuple):
    """The share of truths inside an interval, its standard error, and how many were counted."""

    share: float
    standard_error: float
    counted: int


def counts_below(ranks: Int[np.ndarray, " n"], samples: int) -> Int[np.ndarray, " s"]:
    """How many ranks are below 1, ..., S."""
    return np.cumsum(np.bincount(ranks, minlength=samples + 1))[:-1]


class UniformBand:
    """The simultaneous band of the distribution of uniform ranks.

    Parameters
    ----------
    number
        Ranks.
    samples
        S: ranks are 0, ..., S.
    level
        Probability that uniform ranks stay inside everywhere.
    generator
        Of the simulations.

    Attributes
    ----------
    lower, upper
        Least and most of the ranks that may be below 1, ..., S.
    """

    def __init__(self, number: int, samples: int, level: float, generator: np.random.Generator):
        self._samples = samples
        below = np.arange(1, samples + 1) / (samples + 1)
        counts = np.arange(number + 1)
        at_most = binom.cdf(counts, number, below[:, None])
        at_least = binom.sf(counts - 1, number, below[:, None])
        self._tails = np.minimum(1.0, 2 * np.minimum(at_most, at_least))
        even = np.full(samples + 1, 1 / (samples + 1))
        drawn = np.cumsum(generator.multinomial(number, even, _SIMULATIONS), axis=1)[:, :-1]
        self._least = np.sort(self._tails[np.arange(samples), drawn].min(axis=1))
        self._limit = float(np.quantile(self._least, 1 - level, method="lower"))
        inside = self._tails >= self._limit
        self.lower = inside.argmax(axis=1)
        self.upper = number - inside[:, ::-1].argmax(axis=1)

    def _least_tail(self, ranks: Int[np.ndarray, " n"]) -> float:
        below = counts_below(ranks, self._samples)
        return float(self._tails[np.arange(self._samples), below].min())

    def holds(self, ranks: Int[np.ndarray, " n"]) -> bool:
        """Whether the distribution of these ranks is inside everywhere."""
        return self._least_tail(ranks) >= self._limit

    def probability(self, ranks: Int[np.ndarray, " n"]) -> float:
        """How often uniform ranks stray as far as these, or farther."""
        as_far = np.searchsorted(self._least, self._least_tail(ranks), side="right")
        return float(as_far / len(self._least))


def inner_share(
    ranks: Int[np.ndarray, "..."], samples: int, level: float
) -> Float[np.ndarray, "..."]:
    """How much of each rank's cell [r, r + 1] / (S + 1) is in the central interval of a level.

    Its mean over uniform ranks is the level itself, however few samples there are.
    """
    outside = (1 - level) / 2
    low, high = ranks / (samples + 1), (ranks + 1) / (samples + 1)
    inside = np.minimum(high, 1 - outside) - np.maximum(low, outside)
    return np.maximum(inside, 0) * (samples + 1)


def coverage(
    ranks: Int[np.ndarray, "mocks places"],
    counted: Bool[np.ndarray, "mocks places"],
    *,
    samples: int,
    level: float,
    generator: np.random.Generator,
) -> Coverage | None:
    """The share of truths inside central intervals, with a bootstrap error over mocks.

    Parameters
    ----------
    ranks, counted
        Of the truth at each place of each mock, and whether that place counts.
    samples, level
        S, and the interval's nominal probability.
    generator
        Of the bootstrap.

    Returns
    -------
    None if no place counts.
    """
    inside = np.sum(inner_share(ranks, samples, level) * counted, axis=1)
    each = counted.sum(axis=1)
    if not each.any():
        return None
    number = len(each)
    weights = generator.multinomial(number, np.full(number, 1 / number), _RESAMPLED)
    totals = weights @ each
    shares = (weights @ inside)[totals > 0] / totals[totals > 0]
    return Coverage(float(inside.sum() / each.sum()), float(shares.std()), int(each.sum()))


def distance_rank(
    truth: Float[np.ndarray, " d"],
    samples: Float[np.ndarray, "s d"],
    reference: Float[np.ndarray, " d"],
    scale: Float[np.ndarray, " d"],
) -> int:
    """How many samples are nearer to a reference than the truth: uniform for a true posterior.

    Tests of accuracy with random points (TARP; Lemos et al. 2023, ICML, arXiv 2302.03026): of
    all parameters together, those included that no single one shows.

    Parameters
    ----------
    truth, samples
        Vectors of parameters.
    reference
        A random point that does not depend on the truth.
    scale
        Units in which distances are measured.
    """
    of_truth = np.sum(((truth - reference) / scale) ** 2)
    of_samples = np.sum(((samples - reference) / scale) ** 2, axis=1)
    return int(np.sum(of_samples < of_truth))
