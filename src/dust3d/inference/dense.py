"""Gauss-Newton steps with the dense Fisher matrix, on exact rays in float64.

With J the derivatives of each star's expected extinction and ln variance, the
metric is M = 1 + J^T W J, W the Fisher information of the likelihood about the
two; a step is M^-1 grad ln p. Of uncertain distances gradients are exact and the metric is that
of `products`.
"""

from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg as sl
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from dust3d import processes
from dust3d.config.optimiser import Newton
from dust3d.inference.batches import NodeSightlines, stars_of
from dust3d.inference.distance_cells import sightlines_to
from dust3d.inference.likelihood import Stars
from dust3d.inference.newton import Uphill
from dust3d.inference.prior import Xi
from dust3d.inference.target import Target
from dust3d.observations import Observations
from dust3d.rays import nodes as exact

_BYTES_PER_CHUNK = 1 << 28


def is_dense(newton: Newton, parameters: int, stars: int) -> bool:
    """Whether Newton steps are solved for with a dense matrix."""
    if newton.method != "auto":
        return newton.method == "dense"
    return parameters <= newton.dense_parameters and parameters * stars <= newton.dense_entries


class DenseProblem:
    """ln p, its gradient and its Fisher matrix over all stars of all processes, by exact rays.

    Parameters
    ----------
    target
        The posterior, in float64.
    observations
        The stars of this process.
    nodes
        Gauss-Legendre nodes per ray.
    like
        Whitened parameters, for their structure.
    """

    def __init__(self, target: Target, observations: Observations, nodes: int, like: Xi):
        flat, self._unravel = ravel_pytree(like)
        self.parameters = flat.size
        self._target = target
        ends = observations.ends
        per_star = 8 * (nodes + 4) * self.parameters * int(np.prod(ends.shape[1:-1]))
        chunk = int(np.clip(_BYTES_PER_CHUNK // per_star, 1, len(observations)))
        rows = np.arange(len(observations))
        rows = np.concatenate([rows, np.full(-len(rows) % chunk, -1)]).reshape(-1, chunk)
        dtype = jnp.dtype("float64")
        self._nodes, self._ends = nodes, jnp.asarray(ends[rows], dtype)
        self._rays = sightlines_to(
            ends, rows, None, lambda places, rows: NodeSightlines(places, rows, nodes, dtype)
        )
        self._stars = stars_of(observations, rows, dtype)
        self._expand = eqx.filter_jit(self._expand_chunk)
        self._value = eqx.filter_jit(self._log_likelihood_chunk)

    def _chunks(self) -> Iterator[tuple[Int[Array, ""], Stars]]:
        """Number and stars of each chunk."""
        for i in range(self._rays.batches):
            yield jnp.asarray(i), jax.tree.map(lambda array, i=i: array[i], self._stars)

    def _log_likelihood_chunk(
        self, flat: Float[Array, " p"], chunk: Int[Array, ""], stars: Stars
    ) -> Float[Array, ""]:
        return self._target.log_likelihood(self._unravel(flat), self._rays, chunk, stars)

    def _outputs(self, flat: Float[Array, " p"], ends: Array, star: Stars):
        """Mean and ln of the scatter of one star, and its ln p where that is no function of them.

        Beside them the variance with that of the extinction over the distance posterior.
        """
        likelihood, xi = self._target.likelihood, self._unravel(flat)
        field = self._target.prior.field(xi["field"])
        first, second = exact.moments(field, jnp.atleast_2d(ends), nodes=self._nodes)
        if star.cells is not None:
            first, second = first[None], second[None]
        one = jax.tree.map(lambda a: a[None], star)
        nuisance = likelihood.nuisance(xi["likelihood"])
        shares = likelihood.measured_shares(nuisance, first, second, one)
        shares = jax.lax.stop_gradient(shares) if shares is not None else None
        mean, variance = likelihood.moments(nuisance, first, second, one, shares)
        whole = variance + likelihood.distance_variance(first, one, shares)
        found = jnp.stack([mean[0], jnp.log(variance[0])])
        if star.cells is not None:
            found = jnp.append(found, likelihood.log_likelihood(nuisance, first, second, one))
        return found, (found, whole[0])

    def _gradient(self, stars: Stars, values: Array, jacobian: Array) -> Float[Array, " p"]:
        """Of ln L, from the outputs of all stars and their derivatives."""
        if stars.cells is not None:
            return stars.weight @ jacobian[:, 2]

        def density(mean, ln_variance):
            variance = jnp.exp(ln_variance)
            return self._target.likelihood.log_density(stars.extinction, mean, variance)

        _, pull = jax.vjp(density, values[:, 0], values[:, 1])
        by_mean, by_ln_variance = pull(stars.weight)
        return by_mean @ jacobian[:, 0] + by_ln_variance @ jacobian[:, 1]

    def _expand_chunk(self, flat: Float[Array, " p"], chunk: Int[Array, ""], stars: Stars):
        """Gradient of ln L and Fisher matrix of one chunk."""
        derivatives = jax.vmap(jax.jacrev(self._outputs, has_aux=True), (None, 0, 0))
        jacobian, (values, whole) = derivatives(flat, self._ends[chunk], stars)
        about_mean, about_ln_variance = self._target.likelihood.fisher(whole)
        about_ln_variance = about_ln_variance * (jnp.exp(values[:, 1]) / whole) ** 2
        left = jnp.sqrt(stars.weight * about_mean)[:, None] * jacobian[:, 0]
        right = jnp.sqrt(stars.weight * about_ln_variance)[:, None] * jacobian[:, 1]
        gradient = self._gradient(stars, values, jacobian)
        return gradient, left.T @ left + right.T @ right

    def log_posterior(self, flat: Float[Array, " p"]) -> float:
        """ln p, up to a constant."""
        own = processes.once(float(self._target.log_prior(self._unravel(flat))))
        own = own + sum(float(self._value(flat, *chunk)) for chunk in self._chunks())
        return float(processes.total(own))

    def gradient_and_metric(self, flat: Float[Array, " p"]) -> tuple[np.ndarray, np.ndarray]:
        """grad ln p, and M = 1 + J^T W J."""
        gradient = np.array(
            jax.grad(lambda v: self._target.log_prior(self._unravel(v)))(flat), dtype=np.float64
        )
        gradient, metric = (np.array(a) for a in processes.once((gradient, np.eye(len(gradient)))))
        for chunk in self._chunks():
            some_gradient, some_metric = self._expand(flat, *chunk)
            gradient += np.asarray(some_gradient)
            metric += np.asarray(some_metric)
        gradient, metric = processes.total((gradient, metric))
        return np.array(gradient), np.array(metric)

    def uphill(self, flat: Float[Array, " p"]) -> Uphill:
        """The full Newton step, solved exactly."""
        value = self.log_posterior(flat)
        gradient, metric = self.gradient_and_metric(flat)
        direction = sl.cho_solve(sl.cho_factor(metric, overwrite_a=True), gradient)
        direction = np.asarray(processes.from_first(direction))
        slope = float(gradient @ direction)
        return Uphill(value, jnp.asarray(direction), slope, 0.5 * slope, 0)

    def along(
        self, flat: Float[Array, " p"], direction: Float[Array, " p"], length: float
    ) -> Float[Array, " p"]:
        """Where a part of a step leads: on a straight line."""
        return flat + length * direction
