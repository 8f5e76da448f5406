"""Cubic splines through values at knots, differentiable in the values."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def clamped_spline(knots: np.ndarray, values: Float[Array, " n"]) -> Float[Array, " n"]:
    """Second derivatives at the knots: zero slope at the first, zero curvature at the last.

    Solves the tridiagonal continuity equations (Press et al. 2007, section 3.3).
    """
    n = len(knots)
    step = np.diff(knots)
    matrix = np.zeros((n, n))
    slope = np.zeros((n, n))
    matrix[0, :2] = step[0] / 3, step[0] / 6
    slope[0, :2] = -1 / step[0], 1 / step[0]
    for i in range(1, n - 1):
        matrix[i, i - 1 : i + 2] = step[i - 1] / 6, (step[i - 1] + step[i]) / 3, step[i] / 6
        slope[i, i - 1 : i + 2] = 1 / step[i - 1], -1 / step[i - 1] - 1 / step[i], 1 / step[i]
    matrix[-1, -1] = 1
    return jnp.asarray(np.linalg.solve(matrix, slope), values.dtype) @ values


def evaluate_spline(
    knots: np.ndarray,
    values: Float[Array, " n"],
    second: Float[Array, " n"],
    x: Float[Array, "..."],
) -> Float[Array, "..."]:
    """The spline at x; beyond the last knot it goes on as a straight line, below the first flat."""
    dtype = values.dtype
    lowest, highest = float(knots[0]), float(knots[-1])
    # no clip: at the first knot itself it would halve the derivative
    inside = jnp.where(x < lowest, lowest, jnp.minimum(x, highest))
    beyond = jnp.maximum(x - highest, 0)
    i = jnp.clip(
        jnp.searchsorted(jnp.asarray(knots, dtype), inside, side="right") - 1, 0, len(knots) - 2
    )
    low, high = jnp.asarray(knots, dtype)[i], jnp.asarray(knots, dtype)[i + 1]
    step = high - low
    a, b = (high - inside) / step, (inside - low) / step
    curve = ((a**3 - a) * second[i] + (b**3 - b) * second[i + 1]) * step**2 / 6
    last = float(knots[-1] - knots[-2])
    end_slope = (values[-1] - values[-2]) / last + last * (second[-2] + 2 * second[-1]) / 6
    return a * values[i] + b * values[i + 1] + curve + end_slope * beyond
