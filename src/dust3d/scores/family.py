"""The family of a run's likelihood, Gaussian or Student-t, as scores need it."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtr
from scipy.stats import norm, t

from dust3d.config.model import Likelihood as LikelihoodSettings


@dataclass(frozen=True)
class Family:
    """Distributions of one shape about 0, each with a scale of its own.

    Parameters
    ----------
    degrees_of_freedom
        Of Student-t; none: Gaussian.
    """

    degrees_of_freedom: float | None

    @classmethod
    def of(cls, settings: LikelihoodSettings) -> "Family":
        """The family of the section `likelihood`."""
        return cls(None if settings.kind == "gaussian" else settings.degrees_of_freedom)

    @property
    def unit_width(self) -> float:
        """Half-width of the central 68 %, for a scale of 1."""
        return float(self.quantile(float(norm.cdf(1.0))))

    def log_density(self, residual: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """ln p(residual | scale)."""
        if self.degrees_of_freedom is None:
            return norm.logpdf(residual, scale=scale)
        return t.logpdf(residual, self.degrees_of_freedom, scale=scale)

    def cdf(self, standardised: np.ndarray) -> np.ndarray:
        """Share of the distribution below residual / scale."""
        if self.degrees_of_freedom is None:
            return ndtr(standardised)
        return stdtr(self.degrees_of_freedom, standardised)

    def quantile(self, share: float) -> float:
        """residual / scale below which this share of the distribution lies."""
        if self.degrees_of_freedom is None:
            return float(norm.ppf(share))
        return float(t.ppf(share, self.degrees_of_freedom))
