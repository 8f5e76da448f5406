"""How probable the stars are under a fit's model: its log evidence, around its maximum."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from dust3d import runtime
from dust3d.config.evidence import Evidence
from dust3d.errors import FitError
from dust3d.files import write_json
from dust3d.inference.dense import DenseProblem
from dust3d.inference.evidence import (
    LogDeterminant,
    dense_log_determinant,
    laplace_evidence,
    log_determinant,
)
from dust3d.inference.halves import Half, half_of
from dust3d.inference.iterative import IterativeProblem
from dust3d.inference.memory import GB
from dust3d.inference.newton import NewtonStep, Problem, polish
from dust3d.inference.prior import Xi
from dust3d.inference.products import Products
from dust3d.inference.settings import FitSettings
from dust3d.keys import key_for
from dust3d.progress import logger
from dust3d.provenance import file_digest, provenance
from dust3d.stages.fit_maximum_products import (
    Maximum,
    at_maximum,
    in_double_precision,
    summary_of,
)

# matrices of the metric's size that factoring it holds, and what its columns take beside them
_METRICS, _BESIDE = 4, 1.0 * GB
# of a Newton step by products: what its last ten may add, as a part of what it gains
_SHARE = 0.02


class _Found(NamedTuple):
    """What ln Z is made of."""

    method: str
    steps: list[NewtonStep]
    determinant: LogDeterminant


def _is_dense(maximum: Maximum, wanted: Evidence) -> bool:
    parameters = maximum.flat.size
    needed = _METRICS * 8 * parameters**2 + _BESIDE
    fits = needed < maximum.feed.budget.limit and maximum.settings.optimiser.stream is not True
    return parameters <= wanted.dense_parameters and fits


def _polished(maximum: Maximum, problem: Problem, wanted: Evidence) -> tuple[Xi, list[NewtonStep]]:
    """The very maximum: fits end within nats of it that are nothing to a map, but to ln Z."""
    title = f"{maximum.settings.name}: evidence"
    xi, steps = polish(
        problem, maximum.xi, max_steps=wanted.max_steps, tolerance=wanted.tolerance, title=title
    )
    if not steps[-1].shows_maximum(wanted.tolerance):
        logger.warning(
            "%s: not at the maximum: another Newton step would raise ln posterior by %.3g; raise "
            "evidence.max_steps or evidence.max_products",
            title,
            steps[-1].predicted_gain,
        )
    return xi, steps


def _dense(maximum: Maximum, wanted: Evidence) -> _Found:
    """The metric formed and factored, by exact rays."""
    stars = maximum.feed.own()
    problem = DenseProblem(maximum.target, stars, maximum.nodes, maximum.xi)
    xi, steps = _polished(maximum, problem, wanted)
    _, metric = problem.gradient_and_metric(ravel_pytree(xi)[0])
    return _Found("cholesky", steps, dense_log_determinant(metric))


def _by_products(maximum: Maximum, wanted: Evidence, seed: int) -> _Found:
    """The determinant from products of the metric with random vectors.

    Production rays take soft directions to be softer than they are, by per cents: they find the
    maximum, but a per cent in each of so many directions is many nats. These products are exact.
    """
    maximum.feed.budget.plan(maximum.settings.name, maximum.feed.load())
    products = maximum.products()
    exact = Products(maximum.target, maximum.exact_batches(), maximum.xi)
    sample = maximum.sample(wanted.block_parameters)
    problem = IterativeProblem(
        products,
        sample,
        nodes=maximum.sample_nodes,
        block=wanted.block_parameters,
        tolerance=wanted.tolerance,
        share=_SHARE,
        most=10 * wanted.max_products,
        seed=seed,
        gradient=exact,
    )
    xi, steps = _polished(maximum, problem, wanted)
    flat, _ = ravel_pytree(xi)
    half = half_of(
        products,
        flat,
        sample,
        key_for(seed, f"diagonal of the metric of {maximum.settings.name}"),
        nodes=maximum.sample_nodes,
        most=wanted.block_parameters,
    )
    return _Found("lanczos", steps, _by_signs(exact, flat, half, wanted, seed))


def _by_signs(
    exact: Products, flat: Float[Array, " p"], half: Half, wanted: Evidence, seed: int
) -> LogDeterminant:
    """ln det M = ln det F M F^T - 2 ln det F."""
    anchors = exact.expand(flat)[2]
    found = log_determinant(
        lambda v: half(exact.multiply(flat, anchors, half.transposed(v))),
        jnp.zeros_like(flat),
        key_for(seed, f"determinant of a metric of {flat.size} parameters"),
        probes=wanted.probes,
        steps=wanted.max_products,
        least=float(np.finfo(np.float64).tiny),
        tolerance=wanted.tolerance,
    )
    if not found.settled:
        logger.warning(
            "%d products did not settle the determinant of the metric for every random vector; "
            "raise evidence.max_products",
            wanted.max_products,
        )
    return found._replace(value=found.value - 2 * half.log_determinant)


def measure(
    *,
    fit: str | Path,
    train: str | Path,
    heldout: str | Path,
    output: str | Path,
    settings: Mapping[str, Any],
    evidence: Mapping[str, Any] | None,
    seed: int,
    source: str,
) -> None:
    """The log evidence of a Fourier fit, by Laplace's approximation.

    Parameters
    ----------
    fit
        `field.h5` of the fit; `fit.json` lies beside it.
    train, heldout
        The stars of the fit, and those kept from it.
    output
        JSON: `ln_evidence` [ln(1 / mag) summed over the stars] and its `standard_error`, and
        what it was made of.
    settings
        Of the fit, as `Config.fit_settings` gives them.
    evidence
        The section of the configuration; none: its defaults.
    seed, source
        Of the run and of the stage.

    Raises
    ------
    FitError
        If the evidence is not finite, or the metric not positive.
    ProductError
        If the fit is damaged, or is no Fourier series.
    """
    started = time.monotonic()
    parsed = in_double_precision(FitSettings.parse(settings).in_cosines())
    wanted, fit = Evidence.model_validate(evidence or {}), Path(fit)
    runtime.configure()
    name = summary_of(fit, "the evidence has to find it first")["name"]
    origin = provenance(settings=[settings, wanted.model_dump()], source=source, seed=seed)
    inputs = {"fit": file_digest(fit), "train": file_digest(train)}
    of_stars = {"fit": fit, "train": train, "heldout": heldout}
    made_of = {"settings": settings, "seed": seed, "source": source, "inputs": inputs}
    with at_maximum(parsed, **of_stars, title="evidence", seed=seed, made_of=made_of) as maximum:
        dense = _is_dense(maximum, wanted)
        found = _dense(maximum, wanted) if dense else _by_products(maximum, wanted, seed)
        parameters, stars = maximum.flat.size, len(maximum.feed.train)
    last, determinant = found.steps[-1], found.determinant
    # where ln p is quadratic, what another step would gain is missing from its value here
    value = laplace_evidence(last.log_posterior + last.predicted_gain, determinant)
    if not np.isfinite(value):
        raise FitError(f"{name}: its log evidence is {value}; is the fit at its maximum?")
    logger.info("%s: ln evidence %.2f ± %.2g", name, value, 0.5 * determinant.standard_error)
    report = {
        "name": name,
        "ln_evidence": value,
        "standard_error": 0.5 * determinant.standard_error,
        "method": found.method,
        "parameters": parameters,
        "stars": stars,
        "log_posterior": last.log_posterior,
        "gain_left": last.predicted_gain,
        "at_maximum": last.shows_maximum(wanted.tolerance),
        "ln_determinant": determinant.value,
        "settled": determinant.settled,
        "products": determinant.products,
        "newton": [asdict(step) for step in found.steps],
        "seconds": time.monotonic() - started,
        "provenance": origin | {"inputs": inputs, "device": runtime.device_name()},
    }
    write_json(output, report)
