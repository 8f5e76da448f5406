"""Simple predictors that a map must beat: the nearest neighbours, and a fitted slab.

Both meet the map on equal terms: the likelihood family of the run, a zero point for
each class of stars, and a scatter sqrt(f^2 sigma^2 + s0^2 + c A) that grows with the
dust crossed, all fitted to the training stars.
"""

import numpy as np
from scipy.optimize import OptimizeResult, minimize
from scipy.spatial import cKDTree

from dust3d.config.model import Likelihood as LikelihoodSettings
from dust3d.observations import Observations
from dust3d.scores.family import Family
from dust3d.scores.heldout import Prediction

_SIMPLEX = {"maxiter": 4000, "maxfev": 4000, "xatol": 1e-3, "fatol": 1e-7}
_FIRST_SUBSTRUCTURE_MAG = 1e-3
# which start is best shows on a few
_STARS_OF_STARTS = 4096


def _scatter(logs: np.ndarray, sigma: np.ndarray, extinction: np.ndarray) -> np.ndarray:
    inflation, floor, growth = np.exp(np.clip(logs, -12, 6))
    return np.sqrt((inflation * sigma) ** 2 + floor**2 + growth * np.maximum(extinction, 0))


def _class_medians(stars: Observations, residual: np.ndarray) -> np.ndarray:
    """Median residual of each class [mag]; 0 for a class without stars."""
    medians = np.zeros(len(stars.class_names))
    for i in np.unique(stars.classes):
        medians[i] = np.median(residual[stars.classes == i])
    return medians


def _calibrated(
    settings: LikelihoodSettings,
    train: Observations,
    on_train: np.ndarray,
    heldout: Observations,
    on_heldout: np.ndarray,
) -> Prediction:
    """A model of extinction with zero points and scatter fitted to the training stars."""
    family = Family.of(settings)
    zero_points = _class_medians(train, train.extinction - on_train)
    residual = train.extinction - on_train - zero_points[train.classes]

    def cost(logs: np.ndarray) -> float:
        return -float(np.mean(family.log_density(residual, _scatter(logs, train.sigma, on_train))))

    first = np.log([1.0, np.median(train.sigma), _FIRST_SUBSTRUCTURE_MAG])
    best = minimize(cost, first, method="Nelder-Mead", options=_SIMPLEX)
    mean = on_heldout + zero_points[heldout.classes]
    scale = _scatter(best.x, heldout.sigma, on_heldout)
    density = family.log_density(heldout.extinction - mean, scale)
    return Prediction(mean, scale * family.unit_width, density)


def neighbours(
    train: Observations, heldout: Observations, number: int, settings: LikelihoodSettings
) -> Prediction:
    """The mean of the nearest training stars in space.

    Zero points and scatter are fitted to the training stars, each predicted without
    itself.
    """
    tree = cKDTree(train.positions)
    number = min(number, len(train) - 1)
    _, own = tree.query(train.positions, k=number + 1)
    _, nearest = tree.query(heldout.positions, k=number)
    left_out = train.extinction[own[:, 1:]].mean(axis=1)
    mean = train.extinction[nearest.reshape(len(heldout), -1)].mean(axis=1)
    return _calibrated(settings, train, left_out, heldout, mean)


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
    density = Family.of(settings).log_density

    def fitted_to(stars: Observations, first: np.ndarray) -> OptimizeResult:
        def cost(parameters: np.ndarray) -> float:
            mean = _slab(parameters[:3], stars.positions)
            scale = _scatter(parameters[3:], stars.sigma, mean)
            return -float(np.mean(density(stars.extinction - mean, scale)))

        return minimize(cost, first, method="Nelder-Mead", options=_SIMPLEX)

    scatter = np.log([1.0, np.median(train.sigma), _FIRST_SUBSTRUCTURE_MAG])
    mean_density = max(1e-3, float(np.mean(train.extinction) / np.mean(train.distances)))
    starts = [np.array([np.log(mean_density), np.log(h), 0.0, *scatter]) for h in (0.05, 0.2, 1.0)]
    some = np.random.default_rng(0).permutation(len(train))[:_STARS_OF_STARTS]
    nearby = min((fitted_to(train.take(some), first) for first in starts), key=lambda fit: fit.fun)
    best = fitted_to(train, nearby.x).x[:3]
    on_train, on_heldout = (_slab(best, stars.positions) for stars in (train, heldout))
    return _calibrated(settings, train, on_train, heldout, on_heldout)
