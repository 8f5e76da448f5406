"""The evidence by Laplace's approximation, and the log-determinant that it needs.

In whitened parameters ln Z = ln L(xi_max) - |xi_max|^2 / 2 - ln det M / 2: the best fit, less what
it costs to be there before the data came, less how few of the prior's fields fit as well.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.linalg import eigh_tridiagonal

Vector = Float[Array, " p"]


class LogDeterminant(NamedTuple):
    """ln det M, and the standard error of the estimate; 0 if it is exact."""

    value: float
    standard_error: float


def lanczos(
    multiply: Callable[[Vector], Vector], start: Vector, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """The diagonal and off-diagonal of M in the Krylov space of a vector.

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
        for _ in range(2):
            image = image - (basis @ image) @ basis
        length = float(jnp.linalg.norm(image))
        # the space is exhausted: nothing but rounding is left
        rounding = 10 * float(jnp.finfo(start.dtype).eps) * max(abs(d) for d in diagonal)
        if length <= rounding:
            break
        off.append(length)
        vector = image / length
    return np.asarray(diagonal), np.asarray(off[: len(diagonal) - 1])


def log_determinant(
    multiply: Callable[[Vector], Vector],
    like: Vector,
    key: PRNGKeyArray,
    *,
    probes: int,
    steps: int,
) -> LogDeterminant:
    """ln det of a symmetric M >= 1 by stochastic Lanczos quadrature (Ubaru, Chen & Saad 2017).

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
        Products for each.
    """
    found = []
    for own in jax.random.split(key, probes):
        start = jax.random.rademacher(own, like.shape, like.dtype)
        values, vectors = eigh_tridiagonal(*lanczos(multiply, start, steps))
        weights = vectors[0] ** 2
        # M >= 1: what is below is rounding
        found.append(like.size * float(weights @ np.log(np.maximum(values, 1.0))))
    spread = float(np.std(found, ddof=1)) if probes > 1 else float("inf")
    return LogDeterminant(float(np.mean(found)), spread / float(np.sqrt(probes)))


def dense_log_determinant(matrix: Float[np.ndarray, "p p"]) -> LogDeterminant:
    """ln det of a symmetric positive matrix by Cholesky."""
    return LogDeterminant(2 * float(np.sum(np.log(np.diag(np.linalg.cholesky(matrix))))), 0.0)


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
