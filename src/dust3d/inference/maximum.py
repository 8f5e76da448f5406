"""From where the workhorse ended to the maximum of the stated posterior."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from dust3d import interrupts
from dust3d.fields.fourier import AmplitudePhaseField
from dust3d.inference.ascent import Ascent, Memory
from dust3d.inference.batches import StarBatches
from dust3d.inference.build import target_for
from dust3d.inference.dense import DenseProblem, is_dense
from dust3d.inference.feed import Feed
from dust3d.inference.iterative import IterativeProblem, sample_size
from dust3d.inference.newton import NewtonStep, Problem, polish
from dust3d.inference.preconditioner import TwoLevel
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
        Called after each step with the parameters and the place on the way.
    ascent
        The place to go on from; none: the parameters that `run` is given.
    """

    def __init__(
        self,
        feed: Feed,
        target: Target,
        *,
        refinements: int,
        nodes: int,
        after: Callable[[Xi, Ascent], None],
        ascent: Ascent | None = None,
    ):
        self._feed, self._target, self._after = feed, target, after
        self._refinements, self._ascent = refinements, ascent
        self._nodes = nodes if ascent is None else ascent.nodes
        self._last_rays = None if ascent is None else ascent.rays
        self._settings, self._seed = feed.settings, feed.seed
        self._newton = feed.settings.optimiser.newton
        self._tolerance = self._newton.tolerance * len(feed.train)

    def run(self, xi: Xi) -> tuple[Xi, list[NewtonStep]]:
        """Parameters at the maximum, and the steps that led there."""
        dense = is_dense(self._newton, size_of(xi), len(self._feed.train))
        if dense and self._feed.budget.streamed:
            logger.info("%s: stars are streamed: Newton by products", self._settings.name)
            dense = False
        xi = self._dense(xi) if dense else self._iterative(xi)
        assert self._ascent is not None
        return xi, self._ascent.steps

    def _polish(
        self,
        stage: int,
        problem: Problem,
        xi: Xi,
        back: Callable[[Xi], Xi],
        tolerance: float,
    ) -> Xi:
        """The steps of a stage, or those that are left of it."""
        before = self._ascent
        if before is not None and before.stage == stage and before.rests:
            return xi
        _, unravel = ravel_pytree(xi)

        def after(flat: Float[Array, " p"], steps: list[NewtonStep], value: float) -> None:
            memory = problem.memory if isinstance(problem, IterativeProblem) else Memory()
            place = np.asarray(flat)
            rays = self._last_rays
            self._ascent = Ascent(stage, self._nodes, place, list(steps), value, memory, rays)
            self._after(back(unravel(flat)), self._ascent)

        with interrupts.held():
            xi, _ = polish(
                problem,
                xi,
                max_steps=self._newton.max_steps,
                tolerance=tolerance,
                title=self._settings.name,
                before=before.steps if before is not None else (),
                after=after,
            )
        return xi

    def _place(self, xi: Xi) -> Xi:
        """Where to go on: the place on the way, if there is one."""
        if self._ascent is None:
            return xi
        flat, unravel = ravel_pytree(xi)
        return unravel(jnp.asarray(self._ascent.place, flat.dtype))

    def _memory(self, stage: int) -> Memory:
        """What the problem of a stage begins with: the preconditioner is good for both."""
        if self._ascent is None:
            return Memory()
        memory = self._ascent.memory
        return memory if self._ascent.stage == stage else Memory(memory.made_at)

    def _dense(self, xi: Xi) -> Xi:
        double = jnp.dtype("float64")
        xi = self._place(jax.tree.map(lambda a: jnp.asarray(a, double), xi))
        stars = self._feed.own()
        target = target_for(self._settings, len(stars.class_names), self._seed, double)
        problem = DenseProblem(target, stars, self._nodes, xi)
        return self._polish(0, problem, xi, lambda xi: xi, self._tolerance)

    def _iterative(self, xi: Xi) -> Xi:
        target, xi, back = _in_cosines(self._settings, self._target, self._seed, xi)
        xi, near = self._place(xi), None
        if self._ascent is None or self._ascent.stage == 0:
            xi, near = self._by_products(0, Products(target, self._batches(), xi), xi, back)
        if self._settings.ends_exactly:
            logger.info("%s: the last steps by exact rays", self._settings.name)
            gradient = Products(target, self._feed.exact(self._nodes, _EXACT_BATCH), xi)
            # what the metric's rays take to be soft, for their errors, would shorten these steps
            if self._last_rays is None:
                self._last_rays = self._feed.last_choice(target.prior.field(xi["field"]))
            metric = Products(target, self._feed.finest(self._last_rays), xi)
            xi, _ = self._by_products(1, metric, xi, back, gradient=gradient, near=near)
        return back(xi)

    def _by_products(
        self, stage: int, metric: Products, xi: Xi, back: Callable[[Xi], Xi], **options: Any
    ) -> tuple[Xi, TwoLevel | None]:
        """The steps of a stage, and the preconditioner that they ended with."""
        newton, parameters = self._newton, size_of(xi)
        number = min(len(self._feed.train), sample_size(parameters, newton.block_parameters))
        problem = IterativeProblem(
            metric,
            self._feed.train.take(0, number),
            nodes=max(8, int(_NODES_OF_SAMPLE * self._nodes)),
            block=newton.block_parameters,
            tolerance=self._tolerance,
            share=newton.share,
            most=newton.max_products,
            seed=self._seed,
            memory=self._memory(stage),
            **options,
        )
        last = stage == 1 or not self._settings.ends_exactly
        tolerance = self._tolerance if last else _NEAR * self._tolerance
        return self._polish(stage, problem, xi, back, tolerance), problem.near

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
    prior = target.prior.parts["varying"]
    if prior.form == "cos_sin":
        return target, xi, lambda xi: xi
    other = target_for(settings.in_cosines(), target.likelihood.n_classes, seed, settings.dtype)
    white = other.prior.parts["varying"]

    def moved(xi: Xi, varying: Xi) -> Xi:
        return {**xi, "field": {**xi["field"], "varying": varying}}

    polar = prior.field(xi["field"]["varying"])
    assert isinstance(polar, AmplitudePhaseField)
    start = moved(xi, white.whiten(polar.to_cos_sin()))

    def back(xi: Xi) -> Xi:
        return moved(xi, prior.whiten(white.field(xi["field"]["varying"])))

    return other, start, back
