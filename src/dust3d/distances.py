"""Distances from parallaxes.

The posterior of a distance r given a parallax w with error s is proportional to
r^2 exp(-r / L) exp(-(w - 1 / r)^2 / (2 s^2)): an exponentially thinning space density
(Bailer-Jones 2015, PASP 127, 994).
"""

import numpy as np

_NODES = 512
_REACH = 8.0
"""How many standard deviations of the parallax the grid covers on each side."""
_FAR = 100.0
"""How many prior lengths L the grid covers, far beyond where the prior ends."""
_STARS_AT_ONCE = 20_000


def distance_posterior(
    parallax_mas: np.ndarray, parallax_error_mas: np.ndarray, scale_kpc: float
) -> tuple[np.ndarray, np.ndarray]:
    """Median and standard deviation of each star's distance posterior.

    Parameters
    ----------
    parallax_mas
        Parallaxes, zero point subtracted [mas], shape (n,). Negative ones are fine.
    parallax_error_mas
        Their standard deviations [mas], shape (n,).
    scale_kpc
        Length L of the prior.

    Returns
    -------
    Median and standard deviation [kpc], each of shape (n,); NaN where the parallax is not finite
    or its error not positive.
    """
    parallax = np.asarray(parallax_mas, dtype=np.float64)
    error = np.asarray(parallax_error_mas, dtype=np.float64)
    median, std = np.full(parallax.shape, np.nan), np.full(parallax.shape, np.nan)
    usable = np.flatnonzero(np.isfinite(parallax) & np.isfinite(error) & (error > 0))
    for start in range(0, len(usable), _STARS_AT_ONCE):
        rows = usable[start : start + _STARS_AT_ONCE]
        median[rows], std[rows] = _summary(parallax[rows], error[rows], scale_kpc)
    return median, std


def _grid(parallax: np.ndarray, error: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """First and last distance [kpc] outside which the posterior is negligible, shape (n,)."""
    # the prior pulls a star inwards by s r^2 / L standard deviations of its parallax
    pull = error / (np.maximum(parallax, error) ** 2 * scale)
    nearest = 1 / (np.maximum(parallax, 0) + (_REACH + pull) * error)
    least = parallax - _REACH * error
    farthest = np.full(parallax.shape, _FAR * scale)
    certain = least > 0
    # a star of good parallax may lie beyond the reach of the prior
    by_prior = np.maximum(_FAR * scale, 3 / parallax[certain])
    farthest[certain] = np.minimum(1 / least[certain], by_prior)
    return nearest, farthest


def _summary(
    parallax: np.ndarray, error: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    nearest, farthest = _grid(parallax, error, scale)
    steps = np.linspace(0.0, 1.0, _NODES)
    stretch = np.log(farthest / nearest)[:, None]
    # measured from the nearest node, so that relative errors of 1e-6 and less stay resolved
    beyond = nearest[:, None] * np.expm1(stretch * steps)
    distance = nearest[:, None] + beyond
    ln_density = (
        3 * np.log(distance)  # r^2, and r from the logarithmic grid
        - distance / scale
        - 0.5 * ((parallax[:, None] - 1 / distance) / error[:, None]) ** 2
    )
    density = np.exp(ln_density - ln_density.max(axis=1, keepdims=True))
    weight = density / density.sum(axis=1, keepdims=True)
    mean = (weight * beyond).sum(axis=1, keepdims=True)
    std = np.sqrt((weight * (beyond - mean) ** 2).sum(axis=1))
    return nearest + _median_beyond(beyond, density), std


def _median_beyond(beyond: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Where the trapezoidal distribution function passes one half."""
    rows = np.arange(len(beyond))
    area = np.zeros_like(density)
    np.cumsum((density[:, 1:] + density[:, :-1]) / 2, axis=1, out=area[:, 1:])
    half = area[:, -1] / 2
    right = np.clip((area < half[:, None]).sum(axis=1), 1, beyond.shape[1] - 1)
    left = right - 1
    step = area[rows, right] - area[rows, left]
    part = (half - area[rows, left]) / step
    return beyond[rows, left] + part * (beyond[rows, right] - beyond[rows, left])
