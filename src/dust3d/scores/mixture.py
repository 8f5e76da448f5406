"""The predictive distribution of stars: a mixture over samples of the posterior and distances."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm

from dust3d.inference.outliers import outlier_probability
from dust3d.scores.family import Family
from dust3d.scores.heldout import Prediction

_HALVINGS = 40
_ENTRIES_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Mixture:
    """What samples of a posterior, and cells of its distance, together say of each star.

    Parameters
    ----------
    family
        Of every component.
    shares
        Of the components, shape (components,), adding up to 1.
    mean, scale
        Of the components [mag], shape (components, stars).
    """

    family: Family
    shares: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    def log_density(self, observed: np.ndarray) -> np.ndarray:
        """ln p(A_obs) of each star [ln(1 / mag)]."""
        each = self.family.log_density(observed - self.mean, self.scale)
        return np.asarray(logsumexp(each, axis=0, b=self.shares[:, None]))

    def cdf(self, observed: np.ndarray) -> np.ndarray:
        """Share of each star's distribution below A_obs: its PIT."""
        return self.shares @ self.family.cdf((observed - self.mean) / self.scale)

    def quantile(self, share: float) -> np.ndarray:
        """A_obs [mag] below which this share of each star's distribution lies."""
        stars = max(1, _ENTRIES_AT_ONCE // len(self.mean))
        parts = [
            replace(self, mean=self.mean[:, i : i + stars], scale=self.scale[:, i : i + stars])
            for i in range(0, self.mean.shape[1], stars)
        ]
        return np.concatenate([part._bisected(share) for part in parts])

    def _bisected(self, share: float) -> np.ndarray:
        # a mixture's quantile lies between those of its components
        each = self.mean + self.family.quantile(share) * self.scale
        if len(each) == 1:
            return each[0]
        low, high = each.min(axis=0), each.max(axis=0)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            below = self.cdf(middle) < share
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2

    def prediction(self, observed: np.ndarray) -> Prediction:
        """Mean, half-width of the central 68 %, density of what was measured, outliers."""
        share = float(norm.cdf(1.0))
        width = (self.quantile(share) - self.quantile(1 - share)) / 2
        outlier = outlier_probability(
            observed, self.mean.T, self.scale.T, self.family.degrees_of_freedom, self.shares
        )
        return Prediction(self.shares @ self.mean, width, self.log_density(observed), outlier)
