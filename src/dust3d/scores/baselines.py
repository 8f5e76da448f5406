"""Simple predictors that a map must beat: the nearest neighbours, and a fitted slab.

Both get the likelihood family of the run, and a scatter sqrt(f^2 sigma^2 + s0^2)
fitted to the training stars.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from scipy.stats import norm, t

from dust3d.config.model import Likelihood as LikelihoodSettings
from dust3d.observations import Observations
from dust3d.scores.heldout import Prediction

LogDensity = Callable[[np.ndarray, np.ndarray], np.ndarray]


def log_density(settings: LikelihoodSettings) -> LogDensity:
    """ln p(residual | scale) of the run's family."""
    if settings.kind == "gaussian":
        return lambda residual, scale: norm.logpdf(residual, scale=scale)
    nu = settings.degrees_of_freedom
    return lambda residual, scale: t.logpdf(residual, nu, scale=scale)


def _scatter(logs: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    inflation, floor = np.exp(np.clip(logs, -12, 6))
    return np.sqrt((inflation * sigma) ** 2 + floor**2)


def _predict(
    density: LogDensity, stars: Observations, mean: np.ndarray, logs: np.ndarray
) -> Prediction:
    scale = _scatter(logs, stars.sigma)
    return Prediction(mean, scale, density(stars.extinction - mean, scale))


def neighbours(
    train: Observations, heldout: Observations, number: int, settings: LikelihoodSettings
) -> Prediction:
    """The mean of the nearest training stars in space.

    The scatter is fitted to the training stars, each predicted without itself.
    """
    density, tree = log_density(settings), cKDTree(train.positions)
    number = min(number, len(train) - 1)
    _, own = tree.query(train.positions, k=number + 1)
    left_out = train.extinction[own[:, 1:]].mean(axis=1)

    def cost(logs: np.ndarray) -> float:
        scale = _scatter(logs, train.sigma)
        return -float(np.mean(density(train.extinction - left_out, scale)))

    best = minimize(cost, np.log([1.0, np.median(train.sigma)]), method="Nelder-Mead")
    _, nearest = tree.query(heldout.positions, k=number)
    mean = train.extinction[nearest.reshape(len(heldout), -1)].mean(axis=1)
    return _predict(density, heldout, mean, best.x)


def _column(z: np.ndarray | float, height: float) -> np.ndarray | float:
    """int exp(-|z| / h) dz from the plane to z."""
    return np.sign(z) * height * (1 - np.exp(-np.abs(z) / height))


def _slab(parameters: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Extinction through rho0 exp(-|z + z0| / h): closed form on each side of the plane."""
    ln_density, ln_height, sun = parameters
    height = np.exp(np.clip(ln_height, -8, 3))
    distance = np.linalg.norm(positions, axis=1)
    z = positions[:, 2] if positions.shape[1] == 3 else np.zeros(len(positions))

    safe = np.where(np.abs(z) > 1e-9, z, 1.0)
    mean_path = np.where(
        np.abs(z) > 1e-9,
        (_column(z + sun, height) - _column(sun, height)) / safe,
        np.exp(-np.abs(sun) / height),
    )
    return np.exp(np.clip(ln_density, -20, 10)) * distance * mean_path


def slab(train: Observations, heldout: Observations, settings: LikelihoodSettings) -> Prediction:
    """An exponential layer whose density, height and distance from the Sun are fitted."""
    density = log_density(settings)

    def cost(parameters: np.ndarray) -> float:
        scale = _scatter(parameters[3:], train.sigma)
        residual = train.extinction - _slab(parameters[:3], train.positions)
        return -float(np.mean(density(residual, scale)))

    scale = np.log([1.0, np.median(train.sigma)])
    mean_density = max(1e-3, float(np.mean(train.extinction) / np.mean(train.distances)))
    starts = [np.array([np.log(mean_density), np.log(h), 0.0, *scale]) for h in (0.05, 0.2, 1.0)]
    options = {"maxiter": 4000, "maxfev": 4000, "xatol": 1e-4, "fatol": 1e-7}
    fits = [minimize(cost, start, method="Nelder-Mead", options=options) for start in starts]
    best = min(fits, key=lambda fit: fit.fun).x
    return _predict(density, heldout, _slab(best[:3], heldout.positions), best[3:])
