"""Preconditioned conjugate gradients for M x = g, stopped by what a step still gains."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dust3d.errors import FitError

Vector = Float[Array, " p"]

_WINDOW = 10
# accuracy to which the gain is known when it is small enough to stop at
_SURE = 0.05
# a small gain may only be late: what the preconditioner does not see takes a while
_PATIENCE = 50


class Solution(NamedTuple):
    """A solution and how far it goes.

    Parameters
    ----------
    x
        The solution.
    gain
        g x - x M x / 2.
    rest
        What the last iterations added to it: about what is still missing.
    products
        Products with M.
    """

    x: Vector
    gain: float
    rest: float
    products: int


def solve(
    multiply: Callable[[Vector], Vector],
    precondition: Callable[[Vector], Vector],
    right: Vector,
    *,
    share: float,
    enough: float = 0.0,
    most: int,
) -> Solution:
    """x with M x = g, to a part of the gain g x / 2 of the full solution.

    Each iteration adds to the gain (Hestenes & Stiefel 1952); the solution is good
    enough once the last ten have added less than a given share of all.

    Parameters
    ----------
    multiply, precondition
        Products with M, and with an approximate inverse; both symmetric and positive.
    right
        g.
    share
        Stop when the last ten iterations add less than this part of the gain.
    enough
        A gain below which nobody takes the step: such a one is known to a twentieth of this, and
        believed only after some fifty iterations.
    most
        Iterations at most.

    Raises
    ------
    FitError
        If M or its approximate inverse is not positive where the solution begins.
    """
    x, rest = jnp.zeros_like(right), right
    shaped = precondition(rest)
    direction, power = shaped, float(jnp.vdot(rest, shaped))
    gains: list[float] = []
    for number in range(most):
        image = multiply(direction)
        curvature = float(jnp.vdot(direction, image))
        # rounding has eaten what was left
        if not (np.isfinite(curvature) and curvature > 0 and power > 0):
            if not gains and jnp.any(right != 0):
                raise FitError(
                    "a Newton step cannot be solved for: its metric, or the approximate inverse, "
                    "is not positive in this precision; set optimiser.precision: float64"
                )
            break
        length = power / curvature
        x, rest = x + length * direction, rest - length * image
        gains.append(0.5 * length * power)
        fewest = _WINDOW if sum(gains) >= enough else _PATIENCE
        wanted = share * max(sum(gains) - enough, 0.0) + min(share, _SURE) * enough
        if number >= fewest and sum(gains[-_WINDOW:]) < wanted:
            break
        shaped = precondition(rest)
        before, power = power, float(jnp.vdot(rest, shaped))
        direction = shaped + (power / before) * direction
    return Solution(x, sum(gains, 0.0), sum(gains[-_WINDOW:], 0.0), len(gains))
