"""What the mocks of a calibration say together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dust3d.calibration.ranks import UniformBand, counts_below, coverage
from dust3d.keys import generator_for

DISTANCES = "all_scalars"
"""The ranks of distances to a random point (TARP), beside those of the scalars."""

_LEVELS = (0.68, 0.95)


def _coverages(
    ranks: np.ndarray, counted: np.ndarray, samples: int, seed: int
) -> dict[str, dict[str, float] | None]:
    found: dict[str, dict[str, float] | None] = {}
    for level in _LEVELS:
        generator = generator_for(seed, "calibration: bootstrap over mocks")
        one = coverage(ranks, counted, samples=samples, level=level, generator=generator)
        found[f"{level:g}"] = None if one is None else one._asdict()
    return found


def _of_scalar(
    ranks: np.ndarray, z: np.ndarray | None, band: UniformBand, samples: int, seed: int
) -> dict[str, Any]:
    every = np.full((len(ranks), 1), True)
    found: dict[str, Any] = {
        "inside": band.holds(ranks),
        "probability": band.probability(ranks),
        "below": counts_below(ranks, samples).tolist(),
        "coverage": _coverages(ranks[:, None], every, samples, seed),
    }
    if z is not None:
        found["z"] = {"mean": float(z.mean()), "std": float(z.std())}
    return found


def summary(
    outcomes: Sequence[Mapping[str, Any]], *, samples: int, level: float, seed: int
) -> dict[str, Any]:
    """Rank distributions with their bands, and coverage.

    Parameters
    ----------
    outcomes
        Of the mocks, as `Outcome.plain` has them.
    samples
        Of each fit.
    level
        Of the bands.
    seed
        The run's seed.

    Returns
    -------
    `band`: least and most ranks below 1, ..., S that uniform ones have; `scalars`: for each
    whether it is inside the band, how often uniform ranks stray as far (`probability`), its
    ranks below 1, ..., S, its coverage, and mean and spread of z = (truth - mean) / std;
    `coverage` at random places: of ln rho where the data shrink the prior variance by half,
    and everywhere, and of extinction; `fits`: what they took.
    """
    band = UniformBand(len(outcomes), samples, level, generator_for(seed, "calibration: band"))
    scalars: dict[str, Any] = {}
    for name in outcomes[0]["ranks"]:
        ranks = np.array([one["ranks"][name] for one in outcomes])
        z = np.array([one["z"][name] for one in outcomes])
        scalars[name] = _of_scalar(ranks, z, band, samples, seed)
    distances = np.array([one["distance_rank"] for one in outcomes])
    scalars[DISTANCES] = _of_scalar(distances, None, band, samples, seed)
    ln_density = np.array([one["ln_density_ranks"] for one in outcomes])
    extinction = np.array([one["extinction_ranks"] for one in outcomes])
    known = np.array([one["known"] for one in outcomes])
    every = np.full_like(known, True)
    return {
        "mocks": len(outcomes),
        "samples": samples,
        "band": {"level": level, "lower": band.lower.tolist(), "upper": band.upper.tolist()},
        "scalars": scalars,
        "coverage": {
            "ln_density_known": _coverages(ln_density, known, samples, seed),
            "ln_density": _coverages(ln_density, every, samples, seed),
            "extinction": _coverages(extinction, every, samples, seed),
        },
        "fits": {
            "newton_steps_mean": float(np.mean([one["newton_steps"] for one in outcomes])),
            "gain_left_max": float(np.max([one["gain_left"] for one in outcomes])),
            "missed_max": float(np.max([one["missed"] for one in outcomes])),
            "missed_median": float(np.median([one["missed"] for one in outcomes])),
            "nodes_max": int(np.max([one["nodes"] for one in outcomes])),
            "seconds_median": float(np.median([one["seconds"] for one in outcomes])),
        },
    }
