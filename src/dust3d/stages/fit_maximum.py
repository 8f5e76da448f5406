"""From where the workhorse ended to the maximum, and what there is to say of it."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dust3d.errors import FitError
from dust3d.inference.ascent import Ascent
from dust3d.inference.build import target_for
from dust3d.inference.cost import Cost
from dust3d.inference.loop import Fit
from dust3d.inference.maximum import Climb
from dust3d.inference.newton import NewtonStep
from dust3d.inference.prior import Xi, size_of
from dust3d.inference.recipes import AdamRecipe
from dust3d.inference.target import Target
from dust3d.progress import logger
from dust3d.stages.fit_job import Job, Result
from dust3d.stages.fit_resume import save


def _climb(job: Job, target: Target, recipe: AdamRecipe, fit: Fit) -> tuple[Xi, list[NewtonStep]]:
    """Newton steps to the maximum, kept as they come, and the accuracy of rays there."""
    if not job.settings.climbs:
        return fit.parameters, []
    started, before = time.monotonic(), fit.seconds

    def after(xi: Xi, ascent: Ascent) -> None:
        fit.parameters = jax.tree.map(lambda a: jnp.asarray(a, job.settings.dtype), xi)
        # the workhorse is over, and so is its state
        fit.state, fit.ascent = None, ascent
        fit.seconds = before + time.monotonic() - started
        if not ascent.rests:
            epoch, step = fit.rows[-1][:2]
            loss = -ascent.log_posterior / len(job.train)
            heldout = recipe.heldout_score(fit.parameters)
            fit.rows.append((epoch + 1, step + 1, fit.seconds, loss, np.nan, heldout))
        save(job, fit)

    nodes = recipe.accuracy.nodes if recipe.accuracy is not None else 0
    climb = Climb(
        recipe.feed,
        target,
        refinements=fit.phase,
        nodes=nodes,
        after=after,
        ascent=fit.ascent,
    )
    xi, steps = climb.run(fit.parameters)
    fit.parameters = jax.tree.map(lambda a: jnp.asarray(a, job.settings.dtype), xi)
    recipe.measure(fit.phase, fit.parameters)
    fit.seconds = before + time.monotonic() - started
    return xi, steps


def finish(job: Job, target: Target, recipe: AdamRecipe, fit: Fit, cost: Cost) -> Result:
    """Newton steps to the maximum, and what there is to say of it.

    Raises
    ------
    FitError
        If the field is not finite.
    Interrupted
        After a Newton step and a checkpoint, if the process was asked to end.
    """
    settings, newton = job.settings, job.settings.optimiser.newton
    xi, steps = _climb(job, target, recipe, fit)
    xi = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), xi)
    value = steps[-1].log_posterior if steps else None
    exact_target = target_for(settings, len(job.train.class_names), job.seed, jnp.dtype("float64"))
    field = exact_target.prior.field(xi["field"])
    for leaf in jax.tree.leaves(field):
        if not np.all(np.isfinite(leaf)):
            raise FitError(f"{job.name}: the fitted field is not finite; lower the learning rate")
    summary = _likelihood_summary(job, exact_target, xi)
    converged = _converged(job, steps, newton.tolerance * len(job.train))
    parameters = size_of(xi["field"])
    return Result(field, summary, value, recipe.accuracy, steps, converged, parameters, cost)


def _likelihood_summary(job: Job, target: Target, xi: Xi) -> dict[str, Any]:
    nuisance = target.likelihood.nuisance(xi["likelihood"])
    zero_points = nuisance.zero_points_mag.tolist()
    return {
        "error_inflation": float(nuisance.error_inflation),
        "floor_mag": float(nuisance.floor_mag),
        "substructure_kpc": float(nuisance.substructure_kpc),
        "zero_points_mag": dict(zip(job.train.class_names, zero_points, strict=True)),
    }


def _converged(job: Job, steps: list[NewtonStep], tolerance: float) -> bool | None:
    """Whether the last Newton step shows a maximum; none if there was none to show it."""
    if not steps:
        return None
    converged = steps[-1].shows_maximum(tolerance)
    if not converged:
        logger.warning(
            "%s: not converged: another Newton step would raise ln posterior by %.3g%s; the limit "
            "is %.3g; raise optimiser.newton.max_steps, max_products or optimiser.method.epochs",
            job.name,
            steps[-1].predicted_gain,
            "" if steps[-1].settled else " or more",
            tolerance,
        )
    return converged
