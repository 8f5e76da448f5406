"""Newton steps for fields of any size, by preconditioned conjugate gradients."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from dust3d import processes
from dust3d.inference.ascent import Memory
from dust3d.inference.batches import stars_of
from dust3d.inference.conjugate import solve
from dust3d.inference.newton import Uphill
from dust3d.inference.preconditioner import TwoLevel, two_level
from dust3d.inference.prior import SumPrior
from dust3d.inference.products import Products
from dust3d.inference.profiles import profiles_of
from dust3d.inference.retraction import bent
from dust3d.keys import generator_for
from dust3d.observations import Observations

# stars that stand for all, for each parameter of the dense block
_STARS_PER_PARAMETER = 3
_FEWEST_STARS = 4096
# the preconditioner is made anew after a step that gained more than so many tolerances
_STALE = 10
# by this part of its promise ln p rose: less, and the next step goes less far; more, and further
_POOR, _GOOD = 0.5, 0.8
_FEWEST_PRODUCTS = 20


class IterativeProblem:
    """ln p over all stars; steps are solved for with products alone.

    Parameters
    ----------
    products
        Values, gradients and metric by the rays of the fit.
    sample
        Random stars, from which the preconditioner is made.
    nodes
        Nodes on their rays.
    block
        Parameters of the preconditioner's dense block, at most.
    tolerance
        Gain of ln p below which nobody asks for another step.
    share
        Accuracy of a step: what its last iterations add to the gain, as a part of it.
    most
        Products of one step, at most.
    seed
        The run's seed.
    gradient
        Values and gradients by exact rays, where the maximum of their posterior is wanted;
        none: those of `products`.
    near
        A preconditioner from nearby, to begin with.
    memory
        Of the steps before, to go on as if they had been this problem's; a preconditioner that
        is not given is made anew where it was made.
    """

    def __init__(
        self,
        products: Products,
        sample: Observations,
        *,
        nodes: int,
        block: int,
        tolerance: float,
        share: float,
        most: int,
        seed: int,
        gradient: Products | None = None,
        near: TwoLevel | None = None,
        memory: Memory | None = None,
    ):
        self._metric, self._gradient = products, gradient or products
        self._sample, self._nodes, self._block = sample, nodes, block
        self._tolerance, self._share, self._most, self._seed = tolerance, share, most, seed
        self.near = near
        self._made_at, numbers = memory or Memory()
        last_value, last_gain, reach = numbers or (-np.inf, 0.0, most)
        self._last_value, self._last_gain, self._reach = last_value, last_gain, int(reach)

    @property
    def memory(self) -> Memory:
        """What later steps follow from, beside the place that they begin at."""
        return Memory(self._made_at, (self._last_value, self._last_gain, self._reach))

    def log_posterior(self, flat: Float[Array, " p"]) -> float:
        """ln p, up to a constant."""
        return self._gradient.log_posterior(flat)

    def uphill(self, flat: Float[Array, " p"]) -> Uphill:
        """A Newton step, solved by conjugate gradients."""
        value, gradient, anchors = self._metric.expand(flat)
        if self._gradient is not self._metric:
            value, gradient = self._gradient.slope(flat)
        if self._made_at is None or self._last_gain > _STALE * self._tolerance:
            self._made_at, self.near = np.asarray(flat), None
        if self.near is None:
            self.near = self.preconditioner(jnp.asarray(self._made_at))
        self._trust(value)
        solution = solve(
            lambda v: self._metric.multiply(flat, anchors, v),
            self.near,
            gradient,
            share=self._share,
            enough=self._tolerance,
            most=self._most,
            reach=self._reach,
        )
        # what rounding makes of it may differ from machine to machine
        direction = processes.from_first(solution.x)
        slope = float(gradient @ direction)
        self._last_value, self._last_gain = value, solution.gain
        gain = solution.gain + solution.rest
        return Uphill(value, direction, slope, gain, solution.products, solution.settled)

    def _trust(self, value: float) -> None:
        """How many products to spend on a step, from what the last one kept of its promise.

        The first products move what the stars know well, the later ones what they hardly know,
        by far more than the quadratic model is good for.
        """
        if self._last_gain > 0:
            kept = (value - self._last_value) / self._last_gain
            if kept < _POOR:
                self._reach = max(_FEWEST_PRODUCTS, self._reach // 2)
            elif kept > _GOOD:
                self._reach = min(self._most, 2 * self._reach)

    def along(
        self, flat: Float[Array, " p"], direction: Float[Array, " p"], length: float
    ) -> Float[Array, " p"]:
        """Where a part of a step leads: straight in the density."""
        unravel, prior = self._metric.unravel, self._metric.target.prior
        before, after = unravel(flat), unravel(flat + length * direction)
        assert isinstance(prior, SumPrior)
        field = bent(prior, before["field"], after["field"])
        return ravel_pytree({**after, "field": field})[0]

    def preconditioner(self, flat: Float[Array, " p"]) -> TwoLevel:
        """An approximate inverse of the metric at a place."""
        sample, seed = self._sample, self._seed
        return sampled_preconditioner(
            self._metric, flat, sample, nodes=self._nodes, block=self._block, seed=seed
        )


def sampled_preconditioner(
    products: Products,
    flat: Float[Array, " p"],
    sample: Observations,
    *,
    nodes: int,
    block: int,
    seed: int,
) -> TwoLevel:
    """An approximate inverse of a metric at a place, made from some of its stars.

    Parameters
    ----------
    products, flat
        The metric, and the place.
    sample
        Random stars that stand for all.
    nodes
        Nodes on their rays.
    block
        Parameters of its dense block, at most.
    seed
        The run's seed.
    """
    target, xi = products.target, products.unravel(flat)
    rows = np.arange(len(sample))
    stars = jax.tree.map(lambda a: a[0], stars_of(sample, rows[None], flat.dtype))
    share = products.batches.number / len(sample)
    profiles = profiles_of(target, xi, sample.positions, stars, nodes=nodes, share=share)
    generator = generator_for(seed, "rays of wave packets")
    return two_level(target, xi, profiles, generator, most=block)


def sample_size(parameters: int, block: int) -> int:
    """Stars from which a preconditioner is made."""
    return max(_FEWEST_STARS, _STARS_PER_PARAMETER * min(parameters, block))
