"""ln Z by thermodynamic integration: the slow, obvious twin of Laplace's approximation.

ln Z = int_0^1 <ln L>_beta d beta, where <>_beta is the mean over prior x L^beta. Ensembles of
walkers draw from those by stretch moves (Goodman & Weare 2010), which do as well on stretched
distributions as on round ones, and have nothing to tune.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Integral(NamedTuple):
    """ln Z, and its standard error over independent ensembles."""

    value: float
    standard_error: float


def _stretched(log_likelihood, beta, moving, others, key):
    """One move of half of the walkers along lines through the other half."""
    (flat, value), (there, _) = moving, others
    number, size = flat.shape
    pick, length, chance = jax.random.split(key, 3)
    partner = there[jax.random.randint(pick, (number,), 0, len(there))]
    z = (1 + jax.random.uniform(length, (number,))) ** 2 / 2
    trial = partner + z[:, None] * (flat - partner)
    found = jax.vmap(log_likelihood)(trial)
    rise = beta * (found - value) - 0.5 * jnp.sum(trial**2 - flat**2, axis=1)
    ratio = (size - 1) * jnp.log(z) + rise
    taken = jnp.log(jax.random.uniform(chance, (number,))) < ratio
    return jnp.where(taken[:, None], trial, flat), jnp.where(taken, found, value)


def thermodynamic_integral(
    log_likelihood, size, *, key, rungs=32, ensembles=6, walkers=24, moves=600, least=1e-7
):
    """ln Z of a likelihood of `size` parameters under N(0, 1).

    Each ensemble goes up the rungs, so that it never has far to go. The integral is that of
    beta <ln L> over ln beta, from `least` on: ln L of draws of the prior is so low, and scatters so
    much, that steps in beta would have to be tiny at first.
    """
    betas = jnp.geomspace(least, 1, rungs)

    def rung(halves, given):
        beta, key = given

        def move(halves, own):
            first, second = halves
            one, two = jax.random.split(own)
            first = _stretched(log_likelihood, beta, first, second, one)
            second = _stretched(log_likelihood, beta, second, first, two)
            return (first, second), jnp.concatenate([first[1], second[1]])

        halves, values = jax.lax.scan(move, halves, jax.random.split(key, moves))
        settled = values[moves // 2 :]
        return halves, (settled.mean(), settled.var())

    def ensemble(key):
        start, walk = jax.random.split(key)
        flat = jax.random.normal(start, (walkers, size))
        values, half = jax.vmap(log_likelihood)(flat), walkers // 2
        halves = ((flat[:half], values[:half]), (flat[half:], values[half:]))
        return jax.lax.scan(rung, halves, (betas, jax.random.split(walk, rungs)))[1]

    found = jax.jit(jax.vmap(ensemble))(jax.random.split(key, ensembles))
    mean, variance = (np.asarray(v).T for v in found)
    beta, width = np.asarray(betas)[:, None], np.log(1 / least) / (rungs - 1)
    height = beta * mean
    # d<ln L> / d beta is the variance of ln L: trapezia without their leading error
    slope = height + beta**2 * variance
    trapezia = width * (height[1:] + height[:-1]).sum(axis=0) / 2
    each = trapezia - width**2 / 12 * (slope[-1] - slope[0])
    return Integral(float(each.mean()), float(each.std(ddof=1) / np.sqrt(ensembles)))
