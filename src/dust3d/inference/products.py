"""ln p, its gradient and products with its metric, batch by batch and without a matrix.

With J the derivatives of each star's expected extinction and variance in whitened
parameters, the metric is M = 1 + J^T W J, W the Fisher information of the likelihood
about the two. A product with M costs one forward and one adjoint transform of the
field, and one product with R and one with its transpose: what does not change between
products of one expansion (extinctions, weights) is kept.

Where distances are uncertain, values and gradients are those of the average over their posteriors;
the metric takes that mixture for one distribution of its mean and variance, each cell of the
posterior weighted with its probability given the star's extinction. J are the derivatives of that
mean and of the scatter about the extinctions; the probabilities are held, and so is, in W, the
variance V of the extinction over the cells. A mixture of Gaussians of variance s^2 that is moved as
a whole curves by 1 / s^2 - V / s^4, which may be negative (Louis 1982); 1 / (s^2 + V) is the same
where V is small, never less, and positive.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray

from dust3d import processes
from dust3d.inference.batches import StarBatches
from dust3d.inference.devices import summed
from dust3d.inference.likelihood import Moment, Shares, Stars
from dust3d.inference.prior import Xi
from dust3d.inference.target import Sightlines, Target


class Anchor(NamedTuple):
    """What the products of one expansion share: moments of a batch, and Fisher weights.

    Parameters
    ----------
    first, second
        int rho ds [mag] and int rho^2 ds [mag^2 / kpc], to each cell of uncertain distances.
    about_mean, about_variance
        Fisher information about each star's mean [1 / mag^2] and variance [1 / mag^4].
    shares
        Of the cells of uncertain distances, given the extinctions; none: distances are known.
    """

    first: Moment
    second: Moment
    about_mean: Float[Array, " n"]
    about_variance: Float[Array, " n"]
    shares: Shares | None = None


@jax.custom_jvp
def _anchored(value: Array, known: Array) -> Array:
    """`known`, with the derivative of `value`: nobody has to compute the value again."""
    return known


@_anchored.defjvp
def _anchored_derivative(primals, tangents):
    return primals[1], tangents[0]


def _summed(value: float, gradient: Array) -> tuple[float, Array]:
    """Over processes."""
    value, gradient = summed((value, gradient))
    return float(value), gradient


def _done(sum_so_far: Array) -> Array:
    """A sum that has been made: batches must not pile up in memory."""
    return jax.block_until_ready(sum_so_far)


class Products:
    """The posterior of a fit, seen through its values, gradients and products.

    Parameters
    ----------
    target
        The posterior. Its prior is white: ln p(xi) = -|xi|^2 / 2.
    batches
        The stars and the sightlines to them.
    like
        Whitened parameters, for their structure.
    """

    def __init__(self, target: Target, batches: StarBatches, like: Xi):
        flat, self.unravel = ravel_pytree(like)
        self.parameters, self.batches, self.target = flat.size, batches, target
        self.count = 0
        self._value = eqx.filter_jit(self._value_of)
        self._expand = eqx.filter_jit(self._expand_batch)
        self._multiply = eqx.filter_jit(self._multiply_batch)
        self._noise = eqx.filter_jit(self._noise_batch)
        self._curved = eqx.filter_jit(self._curved_batch)

    def _log_prior(self, flat: Float[Array, " p"]) -> float:
        return -0.5 * float(jnp.sum(jnp.square(flat), dtype=jnp.float64))

    def _log_likelihood(self, flat, rays: Sightlines, batch: Int[Array, ""], stars: Stars):
        target, xi = self.target, self.unravel(flat)
        field = target.prior.field(xi["field"])
        first, second = rays.moments(field, batch, target.likelihood.needs_second_moment)
        nuisance = target.likelihood.nuisance(xi["likelihood"])
        likelihood, seen = target.likelihood, (nuisance, first, second, stars)
        each = stars.weight * likelihood.log_likelihood(*seen)
        shares = likelihood.measured_shares(*seen)
        _, variance = likelihood.moments(*seen, shares)
        variance = variance + likelihood.distance_variance(first, stars, shares)
        # the sum in double precision: gains of the last steps are parts in a million of it
        return jnp.sum(each, dtype=jnp.float64), (first, second, variance, shares)

    def _value_of(self, flat, rays, batch, stars):
        return self._log_likelihood(flat, rays, batch, stars)[0]

    def _expand_batch(self, flat, rays, batch, stars):
        (value, (first, second, variance, shares)), gradient = jax.value_and_grad(
            self._log_likelihood, has_aux=True
        )(flat, rays, batch, stars)
        about_mean, about_ln_variance = self.target.likelihood.fisher(variance)
        weights = (stars.weight * about_mean, stars.weight * about_ln_variance / variance**2)
        return value, gradient, Anchor(first, second, *weights, shares)

    def _outputs(self, rays, batch, stars, anchor: Anchor, *, known: bool = True):
        """Parameters -> mean and variance of each star; what is known is not computed again."""
        target = self.target

        def outputs(flat):
            xi = self.unravel(flat)
            field = target.prior.field(xi["field"])
            first, second = rays.moments(field, batch, target.likelihood.needs_second_moment)
            if known:
                first = _anchored(first, anchor.first)
                second = _anchored(second, anchor.second)
            nuisance = target.likelihood.nuisance(xi["likelihood"])
            return target.likelihood.moments(nuisance, first, second, stars, anchor.shares)

        return outputs

    def _multiply_batch(self, flat, v, rays, batch, stars, anchor: Anchor):
        outputs = self._outputs(rays, batch, stars, anchor)
        _, (by_mean, by_variance) = jax.jvp(outputs, (flat,), (v,))
        _, pull = jax.vjp(outputs, flat)
        return pull((anchor.about_mean * by_mean, anchor.about_variance * by_variance))[0]

    def _noise_batch(self, flat, key, rays, batch, stars, anchor: Anchor):
        _, pull = jax.vjp(self._outputs(rays, batch, stars, anchor), flat)
        white = jax.random.normal(key, (2, *anchor.about_mean.shape), flat.dtype)
        information = (anchor.about_mean, anchor.about_variance)
        return pull(tuple(jnp.sqrt(w) * n for w, n in zip(information, white, strict=True)))[0]

    def _curved_batch(self, flat, there, rays, batch, stars, anchor: Anchor):
        before, pull = jax.vjp(self._outputs(rays, batch, stars, anchor), flat)
        after = self._outputs(rays, batch, stars, anchor, known=False)(there)
        # Fisher information is the same everywhere about ln of the variance, not about itself
        ln_ratio = before[1] * jnp.log(after[1] / before[1])
        by_mean = anchor.about_mean * (after[0] - before[0])
        return pull((by_mean, anchor.about_variance * ln_ratio))[0]

    def log_posterior(self, flat: Float[Array, " p"]) -> float:
        """ln p, up to a constant."""
        parts = [float(self._value(flat, *some)) for some in self.batches.walk()]
        own = processes.once(self._log_prior(flat)) + sum(parts)
        return float(processes.total(own))

    def expand(self, flat: Float[Array, " p"]) -> tuple[float, Float[Array, " p"], list[Anchor]]:
        """ln p, its gradient, and what products about this place need."""
        anchors = []
        value, gradient = processes.once((self._log_prior(flat), -flat))
        for some in self.batches.walk():
            part, by_part, anchor = self._expand(flat, *some)
            value, gradient = value + float(part), gradient + by_part
            anchors.append(anchor)
        return *_summed(value, gradient), anchors

    def slope(self, flat: Float[Array, " p"]) -> tuple[float, Float[Array, " p"]]:
        """ln p and its gradient alone: what products need is not kept."""
        value, gradient = processes.once((self._log_prior(flat), -flat))
        for some in self.batches.walk():
            part, by_part, _ = self._expand(flat, *some)
            value, gradient = value + float(part), gradient + by_part
        return _summed(value, gradient)

    def multiply(
        self, flat: Float[Array, " p"], anchors: list[Anchor], v: Float[Array, " p"]
    ) -> Float[Array, " p"]:
        """M v, with M at the place of the expansion."""
        self.count += 1
        total: Any = processes.once(v)
        for some, anchor in zip(self.batches.walk(), anchors, strict=True):
            total = _done(total + self._multiply(flat, v, *some, anchor))
        return summed(total)

    def noise(
        self, flat: Float[Array, " p"], anchors: list[Anchor], key: PRNGKeyArray
    ) -> Float[Array, " p"]:
        """A draw of N(0, M): white noise of the prior, and of the stars seen through J."""
        own, *keys = jax.random.split(key, 1 + len(anchors))
        total: Any = processes.once(jax.random.normal(own, flat.shape, flat.dtype))
        for some, each, anchor in zip(self.batches.walk(), keys, anchors, strict=True):
            # the stars of each process have noise of their own
            each = jax.random.fold_in(each, processes.index()) if processes.index() else each
            total = _done(total + self._noise(flat, each, *some, anchor))
        return summed(total)

    def curved(
        self, flat: Float[Array, " p"], anchors: list[Anchor], there: Float[Array, " p"]
    ) -> Float[Array, " p"]:
        """there - here + J^T W (m(there) - m(here)): M (there - here) where m is a straight line.

        m are the mean and ln of the variance of each star; J and W those of the expansion.
        """
        total: Any = processes.once(there - flat)
        for some, anchor in zip(self.batches.walk(), anchors, strict=True):
            total = _done(total + self._curved(flat, there, *some, anchor))
        return summed(total)
