"""Samples of the posterior around its maximum.

With M = 1 + J^T W J at the maximum, y ~ N(0, M) is made of white noise (one number for each
parameter, two for each star), and M^-1 y ~ N(0, M^-1): a sample of the posterior where each
star's mean and ln variance m depend on the parameters as straight lines. They do not: the sample
is moved to where

    xi - xi_max + J^T W (m(xi) - m(xi_max)) = y,

as in geometric variational inference (Frank, Leike & Ensslin 2021, Entropy 23, 853): noise of the
prior and of the stars, and the posterior that they leave, are Gaussian in those coordinates.

The maximum is not where the posterior's mass is: there the field has taken up some of the noise,
so that scatter terms come out too small, and where extinction is curved in ln rho, the mean lies
aside. `centred` moves the point about which samples are drawn to where the gradient of ln p
vanishes on the average over the samples, which is what makes the divergence from the posterior
least for samples of that shape.
"""

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from dust3d.errors import FitError
from dust3d.inference.conjugate import solve_to
from dust3d.inference.products import Anchor, Products

Vector = Float[Array, " p"]

_WORSE = 0.9
_SHORTEST = 1 / 16
# a sample that misses by more begins anew, with these shares of its noise one after the other
_LOST, _STAGES = 0.1, (0.25, 0.5, 0.75, 1.0)
# the centre is found to this many standard deviations, in no more Newton steps for one set of
# samples; these, and those steps, are solved for to a tenth
_CENTRED, _CENTRE_STEPS, _ROUGH = 0.1, 3, 0.1


class Sample(NamedTuple):
    """One sample, and what it took.

    Parameters
    ----------
    flat
        Whitened parameters.
    linear
        Where the sample of the linearised posterior was.
    products
        Products with the metric.
    missed
        |y - g(xi)| / |y| in the end, in the metric of the approximate inverse.
    """

    flat: Vector
    linear: Vector
    products: int
    missed: float


class PosteriorSampler:
    """Draws from the posterior of a fit around its maximum.

    Parameters
    ----------
    products
        The posterior and its metric.
    flat
        Whitened parameters at the maximum.
    precondition
        Products with an approximate inverse of the metric there.
    tolerance
        Relative residual to which each sample is solved for.
    most
        Products of one solution, at most.
    steps
        Corrections of a sample for the posterior's curvature, at most; 0: none.
    """

    def __init__(
        self,
        products: Products,
        flat: Vector,
        precondition: Callable[[Vector], Vector],
        *,
        tolerance: float,
        most: int,
        steps: int,
    ):
        self._products, self._flat, self._precondition = products, flat, precondition
        self._tolerance, self._most, self._steps = tolerance, most, steps
        self._anchors: list[Anchor] = products.expand(flat)[2]

    def _solve(self, right: Vector, tolerance: float) -> tuple[Vector, int]:
        return solve_to(
            lambda v: self._products.multiply(self._flat, self._anchors, v),
            self._precondition,
            right,
            tolerance=tolerance,
            most=self._most,
        )

    def _size(self, v: Vector) -> float:
        return float(jnp.sqrt(jnp.maximum(jnp.vdot(v, self._precondition(v)), 0)))

    def draw(self, key: PRNGKeyArray) -> Sample:
        """One sample.

        Raises
        ------
        FitError
            If the sample cannot be solved for to the tolerance.
        """
        noise = self._products.noise(self._flat, self._anchors, key)
        change, products = self._solve(noise, self._tolerance)
        linear = self._flat + change
        if self._steps == 0:
            return Sample(linear, linear, products, self._tolerance)
        there, missed, more = self._bent(noise, linear, self._tolerance)
        return Sample(there, linear, products + more, missed)

    def centred(self, key: PRNGKeyArray, *, pairs: int, rounds: int) -> "PosteriorSampler":
        """The same about the point where ln p has no slope on the average over samples.

        Parameters
        ----------
        key
            Of the samples.
        pairs
            Over so many pairs of samples, of one noise and its negative.
        rounds
            How often samples are drawn anew about the point that was found, at most.
        """
        here, keys = self, jax.random.split(key, pairs)
        for _ in range(rounds):
            offsets = [offset for each in keys for offset in here._pair(each)]
            here, moved = here._balanced(offsets)
            if moved < _CENTRED:
                break
        return here

    def _about(self, flat: Vector) -> "PosteriorSampler":
        """The same about another point."""
        other = copy.copy(self)
        other._flat, other._anchors = flat, self._products.expand(flat)[2]
        return other

    def _pair(self, key: PRNGKeyArray) -> list[Vector]:
        """Where two samples of opposite noise are, from the centre."""
        noise, found = self._products.noise(self._flat, self._anchors, key), []
        for each in (noise, -noise):
            there = self._flat + self._solve(each, _ROUGH)[0]
            if self._steps:
                there = self._bent(each, there, _ROUGH)[0]
            found.append(there - self._flat)
        return found

    def _mean_slope(self, flat: Vector, offsets: Sequence[Vector]) -> Vector:
        slopes = [self._products.slope(flat + offset)[1] for offset in offsets]
        return jnp.mean(jnp.stack(slopes), axis=0)

    def _balanced(self, offsets: Sequence[Vector]) -> tuple["PosteriorSampler", float]:
        """About the point whose mean slope over some offsets vanishes, and how far that is."""
        flat, slope = self._flat, self._mean_slope(self._flat, offsets)
        size = first = self._size(slope)
        for _ in range(_CENTRE_STEPS):
            if size < _CENTRED:
                break
            step, length = self._solve(slope, _ROUGH)[0], 1.0
            while True:
                trial = flat + length * step
                found = self._mean_slope(trial, offsets)
                shorter = self._size(found)
                if shorter < _WORSE * size or length < _SHORTEST:
                    break
                length /= 2
            if not shorter < size:
                break
            flat, slope, size = trial, found, shorter
        return (self, first) if flat is self._flat else (self._about(flat), first)

    def _bent(self, noise: Vector, there: Vector, tolerance: float) -> tuple[Vector, float, int]:
        """Where the curved posterior has this noise, its linear sample to begin with.

        If that is no good beginning, the noise grows from nothing in stages.
        """
        found, missed, products = self._towards(noise, there, tolerance)
        if missed > _LOST:
            stage, far, more = self._flat, missed, 0
            for share in _STAGES:
                stage, far, more = self._towards(share * noise, stage, tolerance)
                products += more
            if far < missed:
                found, missed = stage, far
        if not bool(jnp.all(jnp.isfinite(found))):
            raise FitError("a sample of the posterior is not finite: the fit is at no maximum")
        return found, missed, products

    def _towards(self, noise: Vector, there: Vector, tolerance: float) -> tuple[Vector, float, int]:
        """Newton's steps with the metric of the centre, shortened where they do not help."""
        whole, products = self._size(noise), 0
        rest = noise - self._products.curved(self._flat, self._anchors, there)
        missed = self._size(rest) / whole
        for _ in range(self._steps):
            if missed < tolerance:
                break
            # a tenth of what is missing is soon small enough itself
            step, took = self._solve(rest, max(_ROUGH, tolerance / missed))
            products += took
            length = 1.0
            while True:
                trial = there + length * step
                found = noise - self._products.curved(self._flat, self._anchors, trial)
                size = self._size(found) / whole
                if size < _WORSE * missed or length < _SHORTEST:
                    break
                length /= 2
            if not size < missed:
                break
            there, rest, missed = trial, found, size
        return there, missed, products
