"""Scores on stars: log predictive density, residuals, widths, with clustered standard errors."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dust3d.observations import Observations


@dataclass(frozen=True)
class Prediction:
    """What a model says of stars.

    Parameters
    ----------
    mean
        Expected measured extinction [mag].
    sigma
        Half-width of the central 68 % of its distribution [mag].
    log_density
        ln p(A_obs) of each star [ln(1 / mag)].
    outlier
        Probability that a star is an outlier (`inference.outliers`); none: nobody asked.
    """

    mean: np.ndarray
    sigma: np.ndarray
    log_density: np.ndarray
    outlier: np.ndarray | None = None


def clustered_mean(values: np.ndarray, cluster: np.ndarray) -> tuple[float, float | None]:
    """Mean, and its standard error if stars of one cluster are not independent.

    The sums of the residuals over clusters are taken as independent (Liang & Zeger
    1986, with the factor G / (G - 1)). One cluster alone tells no error: None.
    """
    mean = float(np.mean(values))
    _, number = np.unique(cluster, return_inverse=True)
    sums = np.bincount(number, values - mean)
    groups = len(sums)
    if groups < 2:
        return mean, None
    return mean, float(np.sqrt(np.sum(sums**2) * groups / (groups - 1)) / len(values))


def robust_width(values: np.ndarray) -> float:
    """Half the distance of the 16th and 84th percentile."""
    low, high = np.percentile(values, [15.865, 84.135])
    return float((high - low) / 2)


def residual_scores(stars: Observations, prediction: Prediction) -> dict[str, Any]:
    """Scores of a prediction for a set of stars.

    Returns
    -------
    `n`, `ln_mean_square_residual`, `rms_mag`, `median_absolute_mag`, `correlation`;
    the widths of residuals in units of the catalogue's and of the fitted sigma, and
    their mean squares (reduced chi^2), to which outliers count in full.
    """
    residual = stars.extinction - prediction.mean
    spread = np.std(prediction.mean) > 0
    correlation = np.corrcoef(stars.extinction, prediction.mean)[0, 1] if spread else 0.0
    return {
        "n": len(stars),
        "ln_mean_square_residual": float(np.log(np.mean(residual**2))),
        "rms_mag": float(np.sqrt(np.mean(residual**2))),
        "median_absolute_mag": float(np.median(np.abs(residual))),
        "correlation": float(correlation),
        "width_catalogue": robust_width(residual / stars.sigma),
        "width_fitted": robust_width(residual / prediction.sigma),
        "reduced_chi2_catalogue": float(np.mean((residual / stars.sigma) ** 2)),
        "reduced_chi2_fitted": float(np.mean((residual / prediction.sigma) ** 2)),
    }


def density_score(prediction: Prediction, cluster: np.ndarray) -> dict[str, float | None]:
    """Mean log predictive density per star, and its standard error over clusters of stars."""
    mean, error = clustered_mean(prediction.log_density, cluster)
    return {"mean": mean, "standard_error": error}


def advantage(
    prediction: Prediction, other: Prediction, cluster: np.ndarray
) -> dict[str, float | None]:
    """Paired difference of log predictive density to another model on the same stars."""
    difference, error = clustered_mean(prediction.log_density - other.log_density, cluster)
    return {
        "mean": float(np.mean(other.log_density)),
        "difference": difference,
        "standard_error": error,
        "sigmas": difference / error if error else None,
    }


def class_agreement(
    stars: Observations, prediction: Prediction, edges: np.ndarray, r_v: float
) -> dict[str, Any]:
    """Median residual E(B-V) [mag] of each class in shells of distance, and how they differ.

    Returns
    -------
    Per class: `n`, `median_ebv`, `standard_error` in each shell (none where there are
    fewer than 20 stars); `pairs`: the difference of each two classes at equal distance,
    averaged over the shells, with its chi^2 over the shells and the most significant one.
    """
    residual = (stars.extinction - prediction.mean) / r_v
    shell = np.digitize(stars.distances, edges) - 1
    classes: dict[str, Any] = {}
    table = {}
    for i, name in enumerate(stars.class_names):
        n, median, error = [], [], []
        for j in range(len(edges) - 1):
            some = residual[(stars.classes == i) & (shell == j)]
            n.append(len(some))
            enough = len(some) >= 20
            median.append(float(np.median(some)) if enough else None)
            # the median of a normal sample scatters by 1.2533 sigma / sqrt(n)
            error.append(1.2533 * robust_width(some) / np.sqrt(len(some)) if enough else None)
        classes[name] = {"n": n, "median_ebv": median, "standard_error": error}
        table[name] = (median, error)
    return {
        "distance_edges_kpc": edges.tolist(),
        "classes": classes,
        "pairs": _pair_differences(table),
    }


def _pair_differences(table: dict[str, tuple[list, list]]) -> list[dict[str, Any]]:
    """How each two classes differ at equal distance: averaged over shells, and at worst."""
    names, pairs = list(table), []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            rows = [
                (a - b, ea**2 + eb**2)
                for a, ea, b, eb in zip(*table[first], *table[second], strict=True)
                if a is not None and b is not None and ea and eb
            ]
            if rows:
                difference, variance = np.asarray(rows).T
                weight = 1 / variance
                worst = int(np.argmax(np.abs(difference) / np.sqrt(variance)))
                pairs.append(
                    {
                        "classes": [first, second],
                        "difference_ebv": float(np.sum(weight * difference) / np.sum(weight)),
                        "standard_error": float(1 / np.sqrt(np.sum(weight))),
                        "shells": len(rows),
                        "chi2": float(np.sum(weight * difference**2)),
                        "worst_difference_ebv": float(difference[worst]),
                        "worst_sigmas": float(difference[worst] / np.sqrt(variance[worst])),
                    }
                )
    return pairs
