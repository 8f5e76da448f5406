"""How likely it is that a star's extinction was measured wrongly, or means something else.

Two kinds of stars are told apart, as the likelihood of the fit has them:

- Student-t with nu degrees of freedom is a Gaussian whose variance is scale^2 / lambda, with a
  lambda of each star's own, lambda ~ Gamma(nu / 2, nu / 2). An outlier is a star whose own standard
  deviation is more than `BROAD` scales: lambda < 1 / BROAD^2, for nu = 4 one star in 47 before any
  is measured. Given its residual, lambda ~ Gamma((nu + 1) / 2, (nu + chi^2) / 2): the probability
  is exact and needs no further model.
- A Gaussian likelihood knows no outliers. Beside it a second Gaussian of the same mean is set, with
  a standard deviation of `BROAD_GAUSSIAN` scales, that a share `SHARE` of the stars is drawn from.

Where distances are uncertain, each cell of the posterior is weighted with its share and with its
density of the measured extinction.
"""

import numpy as np
from scipy.special import gammainc, logsumexp
from scipy.stats import norm, t

BROAD = 3.0
"""Of Student-t: an outlier's own standard deviation is more than so many scales."""
BROAD_GAUSSIAN = 10.0
"""Of a Gaussian likelihood: standard deviation of outliers, in scales."""
SHARE = 0.02
"""Of a Gaussian likelihood: the share of outliers among all stars."""


def outlier_probability(
    observed: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    degrees_of_freedom: float | None,
    shares: np.ndarray | None = None,
) -> np.ndarray:
    """Probability that a star is an outlier, given its extinction and a fit.

    Parameters
    ----------
    observed
        Measured extinctions [mag], shape (n,).
    mean, scale
        What the fit expects, and the scale of its distribution (of a Gaussian the standard
        deviation) [mag], shape (n,); of mixtures (n, components).
    degrees_of_freedom
        Of Student-t; none: Gaussian.
    shares
        Of the components, shape (components,) or (n, components).

    Returns
    -------
    Array of shape (n,), between 0 and 1.
    """
    if shares is None:
        mean, scale, shares = mean[:, None], scale[:, None], np.ones(1)
    chi = (observed[:, None] - mean) / scale
    if degrees_of_freedom is not None:
        nu = degrees_of_freedom
        each = gammainc((nu + 1) / 2, (nu + chi**2) / (2 * BROAD**2))
        weight = t.logpdf(chi, nu)
    else:
        broad = np.log(SHARE) + norm.logpdf(chi, scale=BROAD_GAUSSIAN)
        weight = np.logaddexp(np.log1p(-SHARE) + norm.logpdf(chi), broad)
        each = np.exp(broad - weight)
    with np.errstate(divide="ignore"):
        weight = weight - np.log(scale) + np.log(shares)
    return np.sum(np.exp(weight - logsumexp(weight, axis=1, keepdims=True)) * each, axis=1)
