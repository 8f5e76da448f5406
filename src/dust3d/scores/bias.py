"""Whether residuals of stars depend on where they are, and on what they are."""

from typing import Any

import numpy as np

from dust3d.observations import Observations
from dust3d.scores.heldout import Prediction, clustered_mean

_BINS = 6


def _of_group(residual: np.ndarray, cluster: np.ndarray) -> dict[str, Any]:
    mean, error = clustered_mean(residual, cluster)
    median = float(np.median(residual))
    return {
        "n": len(residual),
        "mean_mag": mean,
        "standard_error_mag": error,
        "median_mag": median,
    }


def bias_in_bins(
    residual: np.ndarray, values: np.ndarray, cluster: np.ndarray, bins: int = _BINS
) -> dict[str, Any] | None:
    """Residuals in bins of a quantity with as many stars each.

    Returns
    -------
    `edges` and `bins`: `n`, `mean_mag` with its clustered `standard_error_mag`, `median_mag`.
    None where the quantity is the same for all.
    """
    # edges are values themselves: no bin is empty
    shares = np.linspace(0, 1, bins + 1)
    edges = np.unique(np.quantile(values, shares, method="inverted_cdf"))
    if len(edges) < 2:
        return None
    bin_of = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    rows = [bin_of == i for i in range(len(edges) - 1)]
    groups = [_of_group(residual[some], cluster[some]) for some in rows]
    return {"edges": edges.tolist(), "bins": groups}


def residual_bias(
    stars: Observations, prediction: Prediction, cluster: np.ndarray
) -> dict[str, Any]:
    """Residuals [mag] with distance, |latitude| and class.

    Parameters
    ----------
    stars, prediction
        The stars, and what was said of them.
    cluster
        Stars of one cluster are not independent.

    Returns
    -------
    `distance_kpc`, `latitude_deg` (not in 2-D): as `bias_in_bins`; `class`: the same of each.
    """
    residual = stars.extinction - prediction.mean
    found: dict[str, Any] = {"distance_kpc": bias_in_bins(residual, stars.distances, cluster)}
    if stars.positions.shape[1] == 3:
        x, y, z = stars.positions.T
        latitude = np.degrees(np.arctan2(np.abs(z), np.hypot(x, y)))
        found["latitude_deg"] = bias_in_bins(residual, latitude, cluster)
    found["class"] = {
        name: _of_group(residual[stars.classes == i], cluster[stars.classes == i])
        for i, name in enumerate(stars.class_names)
        if np.any(stars.classes == i)
    }
    return found
