"""ln Z by thermodynamic integration: the slow, obvious twin of Laplace's approximation.

ln Z = int_0^1 <ln L>_beta d beta, where <>_beta is the mean over prior x L^beta. Elliptical slice
sampling (Murray, Adams & MacKay 2010) draws from those where the prior is white, and has nothing
to tune.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Integral(NamedTuple):
    """ln Z, and its standard error over independent chains."""

    value: float
    standard_error: float


def _step(log_likelihood, beta, state, key):
    flat, value = state
    ellipse, level, first, rest = jax.random.split(key, 4)
    other = jax.random.normal(ellipse, flat.shape)
    threshold = beta * value + jnp.log(jax.random.uniform(level))
    angle = jax.random.uniform(first, maxval=2 * jnp.pi)

    def low(search):
        return beta * search[3] < threshold

    def shrunk(search):
        angle, (left, right), key, _, _ = search
        left, right = jnp.where(angle < 0, angle, left), jnp.where(angle < 0, right, angle)
        key, own = jax.random.split(key)
        angle = jax.random.uniform(own, minval=left, maxval=right)
        place = flat * jnp.cos(angle) + other * jnp.sin(angle)
        return angle, (left, right), key, log_likelihood(place), place

    place = flat * jnp.cos(angle) + other * jnp.sin(angle)
    begin = (angle, (angle - 2 * jnp.pi, angle), rest, log_likelihood(place), place)
    found = jax.lax.while_loop(low, shrunk, begin)
    return (found[4], found[3]), found[3]


def thermodynamic_integral(
    log_likelihood, size, *, key, rungs=24, chains=16, burn=300, steps=700, power=5
):
    """ln Z of a likelihood of `size` parameters under N(0, 1)."""
    betas = jnp.linspace(0, 1, rungs + 1) ** power

    def chain(beta, key):
        start, walk = jax.random.split(key)
        flat = jax.random.normal(start, (size,))

        def move(state, own):
            return _step(log_likelihood, beta, state, own)

        _, values = jax.lax.scan(
            move, (flat, log_likelihood(flat)), jax.random.split(walk, burn + steps)
        )
        return values[burn:].mean(), values[burn:].var()

    keys = jax.random.split(key, (rungs + 1) * chains).reshape(rungs + 1, chains)
    run = jax.jit(jax.vmap(jax.vmap(chain, (None, 0)), (0, 0)))
    mean, variance = (np.asarray(v) for v in run(betas, keys))
    width = np.diff(np.asarray(betas))[:, None]
    # the slope of <ln L> is its variance: trapezia with their leading error taken off
    trapezia = width * (mean[1:] + mean[:-1]) / 2
    bent = width**2 / 12 * (variance[1:] - variance[:-1])
    each = np.sum(trapezia - bent, axis=0)
    return Integral(float(each.mean()), float(each.std(ddof=1) / np.sqrt(chains)))
