"""The evidence by Laplace's approximation, and the log-determinant that it needs.

In whitened parameters ln Z = ln L(xi_max) - |xi_max|^2 / 2 - ln det M / 2: the best fit, less what
it costs to be there before the data came, less how few of the prior's fields fit as well.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.linalg import eigh_tridiagonal

from dust3d.errors import FitError

Vector = Float[Array, " p"]

# a quadrature that so many products have not changed is done
_WINDOW = 5


class LogDeterminant(NamedTuple):
    """ln det of a matrix.

    Parameters
    ----------
    value
        ln det.
    standard_error
        Of the estimate; 0 if it is exact.
    products
        Products with the matrix that it took.
    settled
        Whether they were enough for each random vector.
    """

    value: float
    standard_error: float
    products: int = 0
    settled: bool = True


def _krylov(
    multiply: Callable[[Vector], Vector], start: Vector, steps: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The diagonal and off-diagonal of M in a Krylov space that grows by a vector a time.

    All vectors are kept and each new one is made orthogonal to them twice: without that
    large eigenvalues appear again and again.
    """
    steps = min(steps, start.size)
    vector = start / jnp.linalg.norm(start)
    basis = jnp.zeros((steps, start.size), start.dtype)
    diagonal, off = [], []
    for step in range(steps):
        basis = basis.at[step].set(vector)
        image = multiply(vector)
        diagonal.append(float(jnp.vdot(vector, image)))
        yield np.asarray(diagonal), np.asarray(off)
        for _ in range(2):
            image = image - (basis @ image) @ basis
        length = float(jnp.linalg.norm(image))
        # the space is exhausted: nothing but rounding is left
        rounding = 10 * float(jnp.finfo(start.dtype).eps) * max(abs(d) for d in diagonal)
        if length <= rounding:
            return
        off.append(length)
        vector = image / length


def lanczos(
    multiply: Callable[[Vector], Vector], start: Vector, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """The diagonal and off-diagonal of M in the Krylov space of a vector."""
    return list(_krylov(multiply, start, steps))[-1]


def _log_quadrature(diagonal: np.ndarray, off: np.ndarray, least: float) -> float:
    """v ln M v of the unit vector v whose Krylov space it is, by Gauss quadrature."""
    values, vectors = eigh_tridiagonal(diagonal, off)
    return float(vectors[0] ** 2 @ np.log(np.maximum(values, least)))


def _log_form(
    multiply: Callable[[Vector], Vector],
    start: Vector,
    steps: int,
    least: float,
    tolerance: float,
) -> tuple[float, int, bool]:
    """p v ln M v, the products that it took, and whether the last of them changed nothing."""
    found: list[float] = []
    for diagonal, off in _krylov(multiply, start, steps):
        found.append(start.size * _log_quadrature(diagonal, off, least))
        if len(found) > _WINDOW and abs(found[-1] - found[-1 - _WINDOW]) < tolerance:
            return found[-1], len(found), True
    # a space that is exhausted before so many steps is known whole
    return found[-1], len(found), len(found) < steps or steps >= start.size


def log_determinant(
    multiply: Callable[[Vector], Vector],
    like: Vector,
    key: PRNGKeyArray,
    *,
    probes: int,
    steps: int,
    least: float = 1.0,
    tolerance: float = 0.0,
) -> LogDeterminant:
    """ln det of a symmetric positive matrix by stochastic Lanczos quadrature.

    Ubaru, Chen & Saad (2017), SIAM J. Matrix Anal. Appl. 38, 1075.

    Parameters
    ----------
    multiply
        Products with M.
    like
        A vector of the parameters' size and precision.
    key
        Of the random signs.
    probes
        Random vectors.
    steps
        Products for each, at most.
    least
        No eigenvalue is smaller: what is below is rounding.
    tolerance
        Stop when the last products of a vector changed its estimate by less.
    """
    found, products, settled = [], 0, True
    for own in jax.random.split(key, probes):
        start = jax.random.rademacher(own, like.shape, like.dtype)
        value, took, enough = _log_form(multiply, start, steps, least, tolerance)
        found.append(value)
        products, settled = products + took, settled and enough
    spread = float(np.std(found, ddof=1)) if probes > 1 else float("inf")
    return LogDeterminant(float(np.mean(found)), spread / float(np.sqrt(probes)), products, settled)


def dense_log_determinant(matrix: Float[np.ndarray, "p p"]) -> LogDeterminant:
    """ln det of a symmetric positive matrix by Cholesky.

    Raises
    ------
    FitError
        If it is not positive.
    """
    try:
        factor = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        raise FitError(
            "the metric is not positive: its determinant, and with it the evidence, is not known; "
            "look for stars with absurd errors"
        ) from None
    return LogDeterminant(2 * float(np.sum(np.log(np.diag(factor)))), 0.0)


def laplace_evidence(log_posterior: float, determinant: LogDeterminant) -> float:
    """ln Z of a fit in whitened parameters.

    Parameters
    ----------
    log_posterior
        ln L - |xi|^2 / 2 at the maximum, with all constants of L.
    determinant
        Of the metric there.
    """
    return log_posterior - 0.5 * determinant.value
