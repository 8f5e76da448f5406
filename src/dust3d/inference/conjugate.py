"""Preconditioned conjugate gradients for M x = g, stopped by what a step still gains."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dust3d import processes
from dust3d.errors import FitError

Vector = Float[Array, " p"]
Map = Callable[[Vector], Vector]

_WINDOW = 10
# accuracy to which the gain is known when it is small enough to stop at
_SURE = 0.05
# a small gain may only be late: what the preconditioner does not see takes a while
_PATIENCE = 50
_NOT_FINITE = (
    "a product with the metric of a Newton step is not finite; lower the last of "
    "optimiser.method.learning_rate, or look for stars with absurd values"
)
_NOT_POSITIVE = (
    "a Newton step cannot be solved for: its metric, or the approximate inverse, is not positive "
    "in this precision; set optimiser.precision: float64"
)


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
    settled
        Whether it is as good as was asked for; else the products allowed were too few.
    """

    x: Vector
    gain: float
    rest: float
    products: int
    settled: bool = True


class _Iterate(NamedTuple):
    """x after some products, what the last one added to the gain, and |g - M x|^2."""

    x: Vector
    added: float
    power: float


def _dot(a: Vector, b: Vector) -> float:
    """a . b, the same in all processes: it decides how they go on."""
    return float(processes.from_first(jnp.vdot(a, b)))


def _iterates(multiply: Map, precondition: Map, right: Vector) -> Iterator[_Iterate]:
    """Hestenes & Stiefel (1952), until rounding has eaten what was left.

    |g - M x|^2 is measured with the approximate inverse as its metric.
    """
    x, rest = jnp.zeros_like(right), right
    direction = precondition(rest)
    power = _dot(rest, direction)
    while True:
        image = multiply(direction)
        curvature = _dot(direction, image)
        if not np.isfinite(curvature):
            raise FitError(_NOT_FINITE)
        if not (curvature > 0 and power > 0):
            return
        length = power / curvature
        x, rest = x + length * direction, rest - length * image
        shaped = precondition(rest)
        before, power = power, _dot(rest, shaped)
        yield _Iterate(x, 0.5 * length * before, power)
        direction = shaped + (power / before) * direction


def solve(
    multiply: Map,
    precondition: Map,
    right: Vector,
    *,
    share: float,
    enough: float = 0.0,
    most: int,
    reach: int | None = None,
) -> Solution:
    """x with M x = g, to a part of the gain g x / 2 of the full solution.

    Each iteration adds to the gain; the solution is good enough once the last ten have
    added less than a given share of all.

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
    reach
        Iterations at most for a solution that gains more than `enough`.

    Raises
    ------
    FitError
        If M or its approximate inverse is not positive where the solution begins.
    """
    x, gains, settled = jnp.zeros_like(right), [], True
    for found in islice(_iterates(multiply, precondition, right), most):
        x = found.x
        gains.append(found.added)
        fewest = _WINDOW if sum(gains) >= enough else _PATIENCE
        wanted = share * max(sum(gains) - enough, 0.0) + min(share, _SURE) * enough
        if len(gains) > fewest and sum(gains[-_WINDOW:]) < wanted:
            break
        if reach is not None and len(gains) >= reach and sum(gains) >= enough:
            break
    else:
        # before so many, rounding has eaten what was left
        settled = len(gains) < most
    if most > 0 and not gains and bool(jnp.any(right != 0)):
        raise FitError(_NOT_POSITIVE)
    return Solution(x, sum(gains, 0.0), sum(gains[-_WINDOW:], 0.0), len(gains), settled)


def solve_to(
    multiply: Map, precondition: Map, right: Vector, *, tolerance: float, most: int
) -> tuple[Vector, int]:
    """x with |g - M x| < tolerance |g|, and the products that it took.

    |v|^2 is v P v with P the approximate inverse: where P is good, the error of x in
    units of its standard deviations, for g ~ N(0, M).

    Parameters
    ----------
    multiply, precondition, right
        As for `solve`.
    tolerance
        Relative residual.
    most
        Iterations at most.

    Raises
    ------
    FitError
        If so many iterations do not reach the tolerance.
    """
    first = _dot(right, precondition(right))
    if first == 0:
        return jnp.zeros_like(right), 0
    reached, number = 1.0, 0
    for number, found in enumerate(islice(_iterates(multiply, precondition, right), most), 1):
        reached = float(np.sqrt(max(found.power, 0.0) / first))
        if reached < tolerance:
            return found.x, number
    raise FitError(
        f"after {number} products with the metric its solution still misses by {reached:.2g} "
        f"(wanted {tolerance:.2g}); raise the products allowed, or set optimiser.precision: float64"
    )
