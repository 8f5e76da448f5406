"""Which of a run's fits the data support: by evidence, by held-out stars, and averaged.

Probabilities of models of equal prior probability follow from ln Z. Held-out stars compare fits
pair by pair, on the same stars, so that what all fits find hard does not hide what they differ by.
The average is by stacking (Yao et al. 2018, Bayesian Analysis 13, 917): the mixture of predictive
distributions that gives the held-out stars the highest density.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp

from dust3d.keys import generator_for
from dust3d.scores.heldout import clustered_mean

_DRAWS = 4096
_MOST_STEPS = 4000
_GAP = 1e-5


@dataclass(frozen=True)
class Candidate:
    """A fit among those to choose from.

    Parameters
    ----------
    name
        Of the fit.
    parameters
        How many numbers its field has.
    log_density
        ln p(A_obs) of each held-out star [ln(1 / mag)].
    ln_evidence, ln_evidence_error
        ln Z and its standard error; none for fits without one.
    """

    name: str
    parameters: int
    log_density: Float[np.ndarray, " n"]
    ln_evidence: float | None = None
    ln_evidence_error: float = 0.0


def probabilities(
    ln_evidence: Float[np.ndarray, " k"], error: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """Posterior probabilities of models of equal prior probability.

    Parameters
    ----------
    ln_evidence, error
        ln Z and its standard errors, over which the probabilities are averaged.
    """
    drawn = ln_evidence + np.zeros((1, len(ln_evidence)))
    if np.any(error > 0):
        noise = generator_for(0, "errors of evidence").standard_normal((_DRAWS, len(error)))
        drawn = ln_evidence + error * noise
    total = np.asarray(logsumexp(drawn, axis=1, keepdims=True))
    return np.exp(drawn - total).mean(axis=0)


def stacking_weights(log_density: Float[np.ndarray, "k n"]) -> Float[np.ndarray, " k"]:
    """Weights of the mixture of k predictive distributions with the highest density of n stars.

    By expectation and maximisation; what is convex has one maximum, and there no component alone
    is better than the mixture by more than 1e-5 a star.
    """
    scaled = np.exp(log_density - log_density.max(axis=0))
    weights = np.full(len(scaled), 1 / len(scaled))
    for _ in range(_MOST_STEPS):
        # the slope of the mean log density of the mixture in each weight: 1 where it is positive
        slope = np.mean(scaled / (weights @ scaled), axis=1)
        if slope.max() - 1 < _GAP:
            break
        weights = weights * slope
    return weights / weights.sum()


def _by_evidence(candidates: Sequence[Candidate]) -> dict[str, Any] | None:
    known = [one for one in candidates if one.ln_evidence is not None]
    if not known:
        return None
    values = np.array([one.ln_evidence for one in known], dtype=np.float64)
    errors = np.array([one.ln_evidence_error for one in known])
    chances = probabilities(values, errors)
    best = int(np.argmax(values))
    others = np.delete(np.arange(len(known)), best)
    ahead = None
    if len(others):
        second = int(others[np.argmax(values[others])])
        ahead = {
            "of": known[second].name,
            "difference": float(values[best] - values[second]),
            "standard_error": float(np.hypot(errors[best], errors[second])),
        }
    return {
        "winner": known[best].name,
        "ahead": ahead,
        "probabilities": {one.name: float(p) for one, p in zip(known, chances, strict=True)},
    }


def _by_heldout(
    candidates: Sequence[Candidate], pairs: Sequence[tuple[float, float | None]], best: int
) -> dict[str, Any]:
    # one patch of the sky alone tells no error
    close = [i for i, (mean, error) in enumerate(pairs) if i == best or -mean <= (error or 0.0)]
    simplest = min(close, key=lambda i: candidates[i].parameters)
    return {
        "best": candidates[best].name,
        "within_one_standard_error": [candidates[i].name for i in close],
        "simplest_within_one_standard_error": candidates[simplest].name,
    }


def _row(
    one: Candidate,
    cluster: Int[np.ndarray, " n"],
    pair: tuple[float, float | None],
    weight: float,
) -> dict[str, Any]:
    mean, error = clustered_mean(one.log_density, cluster)
    return {
        "name": one.name,
        "parameters": one.parameters,
        "ln_evidence": one.ln_evidence,
        "ln_evidence_error": one.ln_evidence_error,
        "heldout": {
            "mean": mean,
            "standard_error": error,
            "difference": pair[0],
            "difference_error": pair[1],
        },
        "weight": weight,
    }


def choose(candidates: Sequence[Candidate], cluster: Int[np.ndarray, " n"]) -> dict[str, Any]:
    """What evidence and held-out stars say of some fits.

    Parameters
    ----------
    candidates
        The fits, all with the same held-out stars in the same order.
    cluster
        Number of each star's patch of the sky: only patches count as independent.

    Returns
    -------
    JSON-able: `fits`, one entry for each with its scores, differences and weights; `evidence`,
    the winner by ln Z, by how much it is ahead, and probabilities (none without evidence);
    `heldout`, the best, those within one standard error of it by paired differences, and the
    one of these with the fewest parameters; `average`, whether several are close, weights
    by stacking, and what the mixture gains over the best.
    """
    log_density = np.stack([one.log_density for one in candidates])
    best = int(np.argmax(log_density.mean(axis=1)))
    pairs = [clustered_mean(row - log_density[best], cluster) for row in log_density]
    weights = stacking_weights(log_density)
    some = weights > 0
    mixture = logsumexp(log_density[some] + np.log(weights[some])[:, None], axis=0)
    gain, gain_error = clustered_mean(mixture - log_density[best], cluster)
    heldout = _by_heldout(candidates, pairs, best)
    return {
        "fits": [
            _row(one, cluster, pair, float(weight))
            for one, pair, weight in zip(candidates, pairs, weights, strict=True)
        ],
        "evidence": _by_evidence(candidates),
        "heldout": heldout | {"stars": log_density.shape[1]},
        "average": {
            "method": "stacking of predictive distributions on held-out stars",
            "several_are_close": len(heldout["within_one_standard_error"]) > 1,
            "weights": {one.name: float(w) for one, w in zip(candidates, weights, strict=True)},
            "gain": gain,
            "gain_error": gain_error,
        },
    }
