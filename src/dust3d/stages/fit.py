"""One fit: stars in; field, history, summary and checkpoint out."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dust3d import runtime
from dust3d.config.optimiser import Original
from dust3d.errors import FitError, ProductError
from dust3d.fields.base import Field
from dust3d.fields.fourier import AmplitudePhaseField, FourierField, change_order
from dust3d.fields.mean import ConstantMean, VerticalMean
from dust3d.fields.sum import SumField
from dust3d.files import remove, write_json
from dust3d.inference.accuracy import RayAccuracy, sample_rows
from dust3d.inference.build import target_for
from dust3d.inference.cost import Cost, cost_of, log_cost
from dust3d.inference.feed import Scratch
from dust3d.inference.loop import Fit, Hooks, walk
from dust3d.inference.maximum import Climb
from dust3d.inference.memory import GB, Budget
from dust3d.inference.newton import NewtonStep
from dust3d.inference.original import Coefficients
from dust3d.inference.prior import FourierPrior, Xi, size_of
from dust3d.inference.recipes import AdamRecipe, OriginalRecipe, snapshot_axes
from dust3d.inference.settings import FitSettings
from dust3d.inference.sources import shuffled
from dust3d.inference.target import Target
from dust3d.io.checkpoints import checkpoint_attrs, load_checkpoint, save_checkpoint
from dust3d.io.fields import load_field, save_field
from dust3d.io.history import COLUMNS, write_history
from dust3d.io.reports import read_json
from dust3d.io.star_table import StarTable
from dust3d.io.stars import class_names_of
from dust3d.progress import logger
from dust3d.provenance import digest_of, file_digest, provenance

_ESTIMATORS = {
    True: "maximum of the posterior",
    False: "end of the optimiser, not converged",
    None: "end of the optimiser, convergence not checked",
}


@dataclass(frozen=True)
class _Job:
    """What all steps of a fit need to know."""

    name: str
    folder: Path
    settings: FitSettings
    train: StarTable
    heldout: StarTable
    budget: Budget
    seed: int
    digest: str
    origin: dict[str, Any]
    started_s: float


@dataclass(frozen=True)
class _Result:
    """The end of a fit."""

    field: Field
    likelihood: dict[str, Any]
    log_posterior: float | None
    accuracy: RayAccuracy | None
    newton: list[NewtonStep]
    converged: bool | None
    parameters: int
    cost: Cost


def run(
    *,
    name: str,
    train: str | Path,
    heldout: str | Path,
    start: str | Path | None,
    folder: str | Path,
    settings: Mapping[str, Any],
    seed: int,
    source: str,
) -> None:
    """Fit one model, or go on with a fit that was stopped.

    Parameters
    ----------
    name
        Name of the fit, `fourier-10x10x2` or `mlp-64x64`.
    train, heldout
        Star tables.
    start
        `field.h5` of the fit to begin with, if any; `fit.json` lies beside it.
    folder
        Where `field.h5`, `fit.json`, `history.h5` and `checkpoint.h5` go.
    settings
        As `Config.fit_settings` gives them.
    seed
        The run's seed.
    source
        Digest of the source that makes the fit.

    Raises
    ------
    TableError, FitError, ProductError
        If the stars cannot be used, the loss is not finite, or a product is damaged.
    """
    runtime.configure()
    parsed, folder = FitSettings.parse(settings), Path(folder)
    started = time.monotonic()
    budget = Budget(parsed.optimiser.stream, parsed.optimiser.memory_gb)
    stars, others = _tables(parsed, folder, train, heldout, seed)
    inputs = [file_digest(path) for path in (train, heldout, start) if path is not None]
    origin = provenance(settings=settings, source=source, seed=seed)
    origin["device"] = runtime.device_name()
    job = _Job(
        name,
        folder,
        parsed,
        stars,
        others,
        budget,
        seed,
        digest_of([settings, seed, source, inputs]),
        origin,
        started,
    )
    try:
        if isinstance(parsed.optimiser.method, Original) and parsed.fourier is not None:
            _write(job, *_run_original(job, start))
        else:
            _write(job, *_run_adam(job, start))
    finally:
        stars.close()
        others.close()
        remove(_scratch(job).folder)


def _tables(
    settings: FitSettings, folder: Path, train: str | Path, heldout: str | Path, seed: int
) -> tuple[StarTable, StarTable]:
    """Training and held-out stars, checked; those of training in the order of their batches."""
    names, box = class_names_of([train, heldout]), settings.box.half_widths_kpc

    def sample(n: int) -> np.ndarray:
        return sample_rows(n, seed)

    stars, others = folder / "train.scratch.h5", folder / "heldout.scratch.h5"
    return (
        StarTable(
            train, box, names, scratch=stars, sample=sample, order=lambda n: shuffled(n, seed)
        ),
        StarTable(heldout, box, names, scratch=others, sample=sample),
    )


def _scratch(job: _Job) -> Scratch:
    return Scratch(job.folder / "rays.scratch", job.digest)


def _run_adam(job: _Job, start: str | Path | None) -> tuple[Fit, _Result]:
    settings = job.settings
    target = target_for(settings, len(job.train.class_names), job.seed, settings.dtype)
    first = _warm_start(job, target, start) if start is not None else None
    recipe = AdamRecipe(
        settings, job.train, job.heldout, job.seed, target, first, job.budget, _scratch(job)
    )
    fit = walk(job.name, recipe, _resume(job, recipe), _hooks(job), job.seed)
    cost = _cost(job, recipe, fit)
    return fit, _finish(job, target, recipe, fit, cost)


def _run_original(job: _Job, start: str | Path | None) -> tuple[Fit, _Result]:
    first = _coefficients(job, start) if start is not None else None
    recipe = OriginalRecipe(
        job.settings, job.train, job.heldout, job.seed, first, job.budget, _scratch(job)
    )
    fit = walk(job.name, recipe, _resume(job, recipe), _hooks(job), job.seed)
    field = recipe.final_field(fit.parameters)
    cost = _cost(job, recipe, fit)
    return fit, _Result(field, {}, None, None, [], None, size_of(fit.parameters), cost)


def _cost(job: _Job, recipe: AdamRecipe | OriginalRecipe, fit: Fit) -> Cost:
    """What the optimiser took."""
    return cost_of(
        job.budget,
        steps=int(fit.rows[-1][1]),
        batches=recipe.feed.count,
        seconds=fit.seconds,
        setup_seconds=recipe.feed.seconds,
    )


def _fourier_part(path: str | Path) -> tuple[FourierField, Field]:
    """The series and the mean of a Fourier fit."""
    field, _ = load_field(path)
    if not isinstance(field, SumField) or len(field.parts) != 2:
        raise ProductError(f"{path}: not the field of a Fourier fit; fit it again")
    series, mean = field.parts
    if isinstance(series, AmplitudePhaseField):
        series = series.to_cos_sin()
    if not isinstance(series, FourierField):
        raise ProductError(f"{path}: not the field of a Fourier fit; fit it again")
    return series, mean


def _coefficients(job: _Job, path: str | Path) -> tuple[Coefficients, tuple[int, ...]]:
    series, mean = _fourier_part(path)
    assert isinstance(mean, ConstantMean)
    cast = {"cos": series.cos, "sin": series.sin, "mean": mean.ln_density}
    return {k: v.astype(job.settings.dtype) for k, v in cast.items()}, series.order


def _warm_start(job: _Job, target: Target, path: str | Path) -> Xi:
    """Whitened parameters of the fit below, at this fit's order."""
    series, mean = _fourier_part(path)
    xi = target.start(jax.random.key(0))
    prior = target.prior.parts["varying"]
    assert isinstance(prior, FourierPrior)
    assert job.settings.fourier is not None
    raised = change_order(series, job.settings.order, job.settings.fourier.ball)
    xi["field"]["varying"] = prior.whiten(raised)
    xi["field"]["mean"] = target.prior.parts["mean"].whiten(mean)
    summary = read_json(Path(path).with_name("fit.json"), ["likelihood"])
    xi["likelihood"] = target.likelihood.whiten(summary["likelihood"], job.train.class_names)
    return jax.tree.map(lambda a: jnp.asarray(a, job.settings.dtype), xi)


def _checkpoint_path(job: _Job) -> Path:
    return job.folder / "checkpoint.h5"


def _resume(job: _Job, recipe: AdamRecipe | OriginalRecipe) -> Fit:
    """The fit as its checkpoint left it, or a fresh one."""
    path = _checkpoint_path(job)
    fresh = Fit(recipe.first())
    if not path.exists():
        return fresh
    try:
        attrs = checkpoint_attrs(path)
        if attrs.get("digest") != job.digest:
            logger.info("%s: the checkpoint is of other settings or stars; starting anew", job.name)
            return fresh
        if attrs.get("complete"):
            return fresh
        phase = int(attrs["phase"])
        parameters = fresh.parameters
        for number in range(phase + 1):
            parameters = recipe.enter(number, parameters)
        like = {"parameters": parameters, "state": recipe.phase(phase).method.start(parameters)}
        tree, arrays = load_checkpoint(path, like)
        pictures = zip(arrays["snapshot_epochs"].tolist(), arrays["snapshots"], strict=True)
        resumed = Fit(
            tree["parameters"],
            tree["state"],
            phase,
            int(attrs["epoch"]),
            float(attrs["seconds"]),
            [tuple(row) for row in arrays["rows"]],
            list(pictures),
        )
    except (ProductError, KeyError, ValueError) as error:
        logger.warning("%s: checkpoint not used: %s; starting anew", job.name, error)
        return fresh
    logger.info("%s: resumed at epoch %d of phase %d", job.name, resumed.epoch, phase + 1)
    return resumed


def _save(job: _Job, fit: Fit, *, complete: bool = False) -> None:
    pictures = [picture for _, picture in fit.snapshots]
    arrays = {
        "rows": np.asarray(fit.rows, dtype=np.float64).reshape(-1, len(COLUMNS)),
        "snapshot_epochs": np.asarray([epoch for epoch, _ in fit.snapshots], dtype=np.int64),
        "snapshots": np.asarray(pictures, dtype=np.float32),
    }
    attrs = {
        "digest": job.digest,
        "phase": fit.phase,
        "epoch": fit.epoch,
        "seconds": fit.seconds,
        "complete": complete,
    }
    tree = {"parameters": fit.parameters, "state": fit.state}
    save_checkpoint(_checkpoint_path(job), tree, arrays, attrs)


def _hooks(job: _Job) -> Hooks:
    optimiser = job.settings.optimiser
    return Hooks(
        lambda fit: _save(job, fit),
        optimiser.evaluate_every_epochs,
        optimiser.snapshots,
        optimiser.checkpoint_every_s,
    )


def _as_float64(tree: Any) -> Any:
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), tree)


def _climb(job: _Job, target: Target, recipe: AdamRecipe, fit: Fit) -> tuple[Xi, list[NewtonStep]]:
    """Newton steps to the maximum, kept as they come, and the accuracy of rays there."""
    if not job.settings.climbs:
        return fit.parameters, []
    started, before = time.monotonic(), fit.seconds
    number = len(job.train)

    def after(xi: Xi, steps: list[NewtonStep]) -> None:
        fit.parameters = jax.tree.map(lambda a: jnp.asarray(a, job.settings.dtype), xi)
        fit.seconds = before + time.monotonic() - started
        epoch, step = fit.rows[-1][:2]
        loss, heldout = -steps[-1].log_posterior / number, recipe.heldout_score(fit.parameters)
        fit.rows.append((epoch + 1, step + 1, fit.seconds, loss, np.nan, heldout))
        _save(job, fit)

    assert recipe.accuracy is not None
    climb = Climb(
        recipe.feed, target, refinements=fit.phase, nodes=recipe.accuracy.nodes, after=after
    )
    xi, steps = climb.run(fit.parameters)
    fit.parameters = jax.tree.map(lambda a: jnp.asarray(a, job.settings.dtype), xi)
    recipe.measure(fit.phase, fit.parameters)
    fit.seconds = before + time.monotonic() - started
    return xi, steps


def _finish(job: _Job, target: Target, recipe: AdamRecipe, fit: Fit, cost: Cost) -> _Result:
    """Newton steps to the maximum, and what there is to say of it."""
    settings, newton = job.settings, job.settings.optimiser.newton
    xi, steps = _climb(job, target, recipe, fit)
    xi = _as_float64(xi)
    value = steps[-1].log_posterior if steps else None
    tolerance = newton.tolerance * len(job.train)
    exact_target = target_for(settings, len(job.train.class_names), job.seed, jnp.dtype("float64"))
    field = exact_target.prior.field(xi["field"])
    for leaf in jax.tree.leaves(field):
        if not np.all(np.isfinite(leaf)):
            raise FitError(f"{job.name}: the fitted field is not finite; lower the learning rate")
    nuisance = exact_target.likelihood.nuisance(xi["likelihood"])
    summary = {
        "error_inflation": float(nuisance.error_inflation),
        "floor_mag": float(nuisance.floor_mag),
        "substructure_kpc": float(nuisance.substructure_kpc),
        "zero_points_mag": dict(
            zip(job.train.class_names, nuisance.zero_points_mag.tolist(), strict=True)
        ),
    }
    converged = _converged(job, steps, tolerance)
    parameters = size_of(xi["field"])
    return _Result(field, summary, value, recipe.accuracy, steps, converged, parameters, cost)


def _converged(job: _Job, steps: list[NewtonStep], tolerance: float) -> bool | None:
    """Whether the last Newton step shows a maximum; none if there was none to show it."""
    if not steps:
        return None
    converged = steps[-1].predicted_gain < tolerance
    if not converged:
        logger.warning(
            "%s: not converged: another Newton step would raise ln posterior by %.3g, more than "
            "%.3g; raise optimiser.newton.max_steps, max_products or optimiser.method.epochs",
            job.name,
            steps[-1].predicted_gain,
            tolerance,
        )
    return converged


def _mean_summary(field: Field) -> dict[str, Any]:
    """The mean of ln rho in plain numbers."""
    mean = field.parts[-1] if isinstance(field, SumField) else None
    if isinstance(mean, ConstantMean):
        return {"ln_density": float(mean.ln_density)}
    if isinstance(mean, VerticalMean):
        return {
            "knots_kpc": list(mean.knots),
            "ln_density": np.asarray(mean.ln_density).tolist(),
            "offset_kpc": float(mean.offset),
        }
    return {}


def _write(job: _Job, fit: Fit, result: _Result) -> None:
    """The products; `field.h5`, for which later jobs wait, comes last."""
    settings = job.settings
    # a Newton step takes a gradient, and products with the metric: J and its transpose each
    products = sum(2 + 2 * step.products for step in result.newton)
    cost = replace(
        result.cost,
        gradients=result.cost.gradients + len(result.newton),
        products=result.cost.products + products,
        measured_memory_gb=runtime.peak_resident_bytes() / GB,
    )
    log_cost(job.name, cost)
    attrs = {
        "name": job.name,
        "model": settings.model,
        "order": list(settings.order),
        "half_widths_kpc": list(settings.box.half_widths_kpc),
        "ball": settings.fourier.ball if settings.fourier is not None else True,
        "estimator": _ESTIMATORS[result.converged],
        "provenance": job.origin,
    }
    x, y = snapshot_axes(settings.box.half_widths_kpc)
    pictures = np.asarray([picture for _, picture in fit.snapshots], dtype=np.float32)
    snapshots = {
        "epoch": np.asarray([epoch for epoch, _ in fit.snapshots], dtype=np.int64),
        "x": x,
        "y": y,
        "ln_density": pictures.reshape(-1, len(x), len(y)),
    }
    write_history(job.folder / "history.h5", fit.rows, snapshots, attrs)
    _save(job, fit, complete=True)
    write_json(
        job.folder / "fit.json",
        attrs
        | {
            "parameters": result.parameters,
            "stars": len(job.train),
            "likelihood": result.likelihood,
            "mean": _mean_summary(result.field),
            "log_posterior": result.log_posterior,
            "rays": {"method": settings.ray_method}
            | (asdict(result.accuracy) if result.accuracy is not None else {}),
            "converged": result.converged,
            "newton": [asdict(step) for step in result.newton],
            "seconds": time.monotonic() - job.started_s,
            "optimiser_seconds": fit.seconds,
            "cost": asdict(cost),
            "device": job.origin["device"],
        },
    )
    save_field(job.folder / "field.h5", result.field, attrs)
