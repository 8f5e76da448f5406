"""Distances from parallaxes.

The posterior of a distance r given a parallax w with error s is proportional to
r^2 exp(-r / L) exp(-(w - 1 / r)^2 / (2 s^2)): an exponentially thinning space density
(Bailer-Jones 2015, PASP 127, 994). Where one distance is not enough, the posterior is cut into
cells, each with its share of the probability, its mean distance and the spread about it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

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
    for rows in _usable(parallax, error):
        median[rows], std[rows] = _summary(parallax[rows], error[rows], scale_kpc)
    return median, std


def _usable(parallax: np.ndarray, error: np.ndarray) -> Iterator[np.ndarray]:
    """Rows with a parallax and an error, some at a time."""
    usable = np.flatnonzero(np.isfinite(parallax) & np.isfinite(error) & (error > 0))
    for start in range(0, len(usable), _STARS_AT_ONCE):
        yield usable[start : start + _STARS_AT_ONCE]


@dataclass(frozen=True)
class DistanceCells:
    """Distance posteriors in cells, the nearest first; each cell has the same share for all stars.

    Parameters
    ----------
    distance
        Mean distance in each cell [kpc], shape (n, cells).
    spread
        Standard deviation of the distance inside each cell [kpc], shape (n, cells).
    """

    distance: np.ndarray
    spread: np.ndarray

    def __len__(self) -> int:
        return len(self.distance)

    def take(self, rows: np.ndarray) -> "DistanceCells":
        """Those of these rows."""
        return DistanceCells(self.distance[rows], self.spread[rows])

    def within(self, farthest_kpc: np.ndarray) -> "DistanceCells":
        """Cells beyond a distance of each star [kpc], shape (n,), moved there, without spread."""
        limit = farthest_kpc[:, None]
        spread = np.where(self.distance > limit, 0.0, self.spread)
        return DistanceCells(np.minimum(self.distance, limit), spread)


def _cell_edges(cells: int) -> np.ndarray:
    """Edges between cells of a standard normal distribution.

    Cells whose density is that of the distribution to the power 1/3, a normal one of thrice the
    variance, leave the least variance inside them (Panter & Dite 1951, Proc. IRE 39, 44).
    """
    return np.sqrt(3) * ndtri(np.arange(1, cells) / cells)


def cell_shares(cells: int) -> np.ndarray:
    """Probability of each cell of `distance_cells`, the same for all stars."""
    return np.diff(ndtr(_cell_edges(cells)), prepend=0.0, append=1.0)


def distance_cells(
    parallax_mas: np.ndarray, parallax_error_mas: np.ndarray, scale_kpc: float, cells: int
) -> DistanceCells:
    """The distance posterior of each star in cells.

    Parameters
    ----------
    parallax_mas, parallax_error_mas, scale_kpc
        As of `distance_posterior`.
    cells
        How many; their shares are `cell_shares`.

    Returns
    -------
    NaN where the parallax is not finite or its error not positive. Weighted with the shares the
    distances have the posterior's mean; with the spreads its variance.
    """
    parallax = np.asarray(parallax_mas, dtype=np.float64)
    error = np.asarray(parallax_error_mas, dtype=np.float64)
    distance = np.full((len(parallax), cells), np.nan)
    spread = np.full_like(distance, np.nan)
    shares = ndtr(_cell_edges(cells))
    for rows in _usable(parallax, error):
        distance[rows], spread[rows] = _cells(parallax[rows], error[rows], scale_kpc, shares)
    return DistanceCells(distance, spread)


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


def _density(
    parallax: np.ndarray, error: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The nearest distance [kpc], how far the nodes are beyond it, and the density in ln r."""
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
    return nearest, beyond, np.exp(ln_density - ln_density.max(axis=1, keepdims=True))


def _summary(
    parallax: np.ndarray, error: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    nearest, beyond, density = _density(parallax, error, scale)
    weight = density / density.sum(axis=1, keepdims=True)
    mean = (weight * beyond).sum(axis=1, keepdims=True)
    std = np.sqrt((weight * (beyond - mean) ** 2).sum(axis=1))
    return nearest + _median_beyond(beyond, density), std


def _median_beyond(beyond: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Where the trapezoidal distribution function passes one half."""
    rows = np.arange(len(beyond))
    area = _running(density)
    half = area[:, -1] / 2
    right = np.clip((area < half[:, None]).sum(axis=1), 1, beyond.shape[1] - 1)
    left = right - 1
    step = area[rows, right] - area[rows, left]
    part = (half - area[rows, left]) / step
    return beyond[rows, left] + part * (beyond[rows, right] - beyond[rows, left])


def _cells(
    parallax: np.ndarray, error: np.ndarray, scale: float, shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean distance and spread in the cells between these values of the distribution function."""
    nearest, beyond, density = _density(parallax, error, scale)
    # about the middle of the posterior, so that differences of squares keep their digits
    middle = _median_beyond(beyond, density)[:, None]
    away = beyond - middle
    sums = [_running(density * away**power) for power in range(3)]
    wanted = shares * sums[0][:, -1:]
    right = np.stack([(sums[0] < edge[:, None]).sum(axis=1) for edge in wanted.T], axis=1)
    right = np.clip(right, 1, beyond.shape[1] - 1)
    at = [np.take_along_axis(sums[0], right - step, axis=1) for step in (1, 0)]
    part = (wanted - at[0]) / (at[1] - at[0])
    mass, first, second = (_between(total, right, part) for total in sums)
    mean = first / mass
    variance = np.maximum(second / mass - mean**2, 0.0)
    return nearest[:, None] + middle + mean, np.sqrt(variance)


def _running(values: np.ndarray) -> np.ndarray:
    """Trapezoidal integrals from the first node to each."""
    total = np.zeros_like(values)
    np.cumsum((values[:, 1:] + values[:, :-1]) / 2, axis=1, out=total[:, 1:])
    return total


def _between(total: np.ndarray, right: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Integrals over cells, whose edges are a part of the way from the node before to `right`."""
    left = np.take_along_axis(total, right - 1, axis=1)
    edges = left + part * (np.take_along_axis(total, right, axis=1) - left)
    ends = [np.zeros((len(total), 1)), edges, total[:, -1:]]
    return np.diff(np.concatenate(ends, axis=1), axis=1)
