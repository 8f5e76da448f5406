"""From where the workhorse ended to the maximum of the stated posterior."""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp

from dust3d.fields.fourier import AmplitudePhaseField
from dust3d.inference.batches import StarBatches
from dust3d.inference.build import target_for
from dust3d.inference.dense import DenseProblem, is_dense
from dust3d.inference.feed import Feed
from dust3d.inference.iterative import IterativeProblem, sample_size
from dust3d.inference.newton import NewtonStep, Problem, polish
from dust3d.inference.prior import Xi, size_of
from dust3d.inference.products import Products
from dust3d.inference.settings import FitSettings
from dust3d.inference.target import Target
from dust3d.progress import logger

_NODES_OF_SAMPLE = 0.7
_EXACT_BATCH = 16_384
# exact rays take over below so many tolerances: the maximum of production rays is not theirs
_NEAR = 10.0


class Climb:
    """The Newton steps of one fit.

    Parameters
    ----------
    feed
        Its stars and sightlines.
    target
        The posterior that the workhorse saw.
    refinements
        How many times rays were made finer.
    nodes
        Nodes of exact rays that were found to be enough.
    after
        Called with the parameters and the steps so far.
    """

    def __init__(
        self,
        feed: Feed,
        target: Target,
        *,
        refinements: int,
        nodes: int,
        after: Callable[[Xi, list[NewtonStep]], None],
    ):
        self._feed, self._target, self._after = feed, target, after
        self._refinements, self._nodes = refinements, nodes
        self._settings, self._seed = feed.settings, feed.seed
        self._newton = feed.settings.optimiser.newton
        self._tolerance = self._newton.tolerance * len(feed.train)

    def run(self, xi: Xi) -> tuple[Xi, list[NewtonStep]]:
        """Parameters at the maximum, and the steps that led there."""
        dense = is_dense(self._newton, size_of(xi), len(self._feed.train))
        if dense and self._feed.budget.streamed:
            logger.info("%s: stars are streamed: Newton by products", self._settings.name)
            dense = False
        return self._dense(xi) if dense else self._iterative(xi)

    def _polish(
        self,
        problem: Problem,
        xi: Xi,
        before: list[NewtonStep],
        back: Callable[[Xi], Xi],
        tolerance: float | None = None,
    ) -> tuple[Xi, list[NewtonStep]]:
        def after(xi: Xi, steps: list[NewtonStep]) -> None:
            self._after(back(xi), [*before, *steps])

        xi, steps = polish(
            problem,
            xi,
            max_steps=self._newton.max_steps,
            tolerance=tolerance or self._tolerance,
            title=self._settings.name,
            after=after,
        )
        return xi, [*before, *steps]

    def _dense(self, xi: Xi) -> tuple[Xi, list[NewtonStep]]:
        double = jnp.dtype("float64")
        xi = jax.tree.map(lambda a: jnp.asarray(a, double), xi)
        stars = self._feed.train.resident()
        target = target_for(self._settings, len(stars.class_names), self._seed, double)
        problem = DenseProblem(target, stars, self._nodes, xi)
        return self._polish(problem, xi, [], lambda xi: xi)

    def _iterative(self, xi: Xi) -> tuple[Xi, list[NewtonStep]]:
        target, xi, back = _in_cosines(self._settings, self._target, self._seed, xi)
        feed, newton = self._feed, self._newton
        products = Products(target, self._batches(), xi)
        parameters = size_of(xi)
        number = min(len(feed.train), sample_size(parameters, newton.block_parameters))
        common = {
            "sample": feed.train.take(0, number),
            "nodes": max(8, int(_NODES_OF_SAMPLE * self._nodes)),
            "block": newton.block_parameters,
            "tolerance": self._tolerance,
            "share": newton.share,
            "most": newton.max_products,
            "seed": self._seed,
        }
        problem = IterativeProblem(products, **common)
        exactly = newton.exact and self._settings.ray_method == "production"
        near = _NEAR * self._tolerance if exactly else self._tolerance
        xi, steps = self._polish(problem, xi, [], back, near)
        if exactly:
            logger.info("%s: the last steps by exact rays", self._settings.name)
            gradient = Products(target, feed.exact(self._nodes, _EXACT_BATCH), xi)
            exact = IterativeProblem(products, gradient=gradient, near=problem.near, **common)
            xi, steps = self._polish(exact, xi, steps, back)
        return back(xi), steps

    def _batches(self) -> StarBatches:
        """All stars with rays that can be derived twice: adaptive steps cannot."""
        if self._settings.ray_method == "reference":
            logger.info("%s: Newton by exact rays", self._settings.name)
            return self._feed.exact(self._nodes, _EXACT_BATCH)
        return self._feed.whole(refinements=self._refinements)


def _in_cosines(
    settings: FitSettings, target: Target, seed: int, xi: Xi
) -> tuple[Target, Xi, Callable[[Xi], Xi]]:
    """The same posterior in cosines and sines, where its prior is white; and the way back."""
    assert settings.fourier is not None
    prior = target.prior.parts["varying"]
    if prior.form == "cos_sin":
        return target, xi, lambda xi: xi
    plain = replace(settings, fourier=settings.fourier.model_copy(update={"form": "cos_sin"}))
    other = target_for(plain, target.likelihood.n_classes, seed, settings.dtype)
    white = other.prior.parts["varying"]

    def moved(xi: Xi, varying: Xi) -> Xi:
        return {**xi, "field": {**xi["field"], "varying": varying}}

    polar = prior.field(xi["field"]["varying"])
    assert isinstance(polar, AmplitudePhaseField)
    start = moved(xi, white.whiten(polar.to_cos_sin()))

    def back(xi: Xi) -> Xi:
        return moved(xi, prior.whiten(white.field(xi["field"]["varying"])))

    return other, start, back
