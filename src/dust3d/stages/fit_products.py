"""What a fit writes when it has come to its end."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from dust3d import processes, runtime
from dust3d.fields.base import Field
from dust3d.fields.mean import ConstantMean, VerticalMean
from dust3d.fields.sum import SumField
from dust3d.files import write_json
from dust3d.inference.cost import Cost, log_cost
from dust3d.inference.loop import Fit
from dust3d.inference.memory import GB
from dust3d.inference.recipes import snapshot_axes
from dust3d.io.fields import save_field
from dust3d.io.history import write_history
from dust3d.stages.fit_job import Job, Result
from dust3d.stages.fit_resume import save, spent_s

_ESTIMATORS = {
    True: "maximum of the posterior",
    False: "end of the optimiser, not converged",
    None: "end of the optimiser, convergence not checked",
}


def write(job: Job, fit: Fit, result: Result) -> None:
    """The products, by the first process; `field.h5`, for which later jobs wait, comes last.

    Raises
    ------
    StorageError
        If one of them cannot be written.
    """
    if processes.index() > 0:
        return
    cost = _whole_cost(result)
    log_cost(job.name, cost)
    attrs = _attrs(job, result)
    write_history(job.folder / "history.h5", fit.rows, _snapshots(job, fit), attrs)
    write_json(job.folder / "fit.json", attrs | _summary(job, fit, result, cost))
    save_field(job.folder / "field.h5", result.field, attrs)
    save(job, fit, complete=True)


def _whole_cost(result: Result) -> Cost:
    """What the workhorse and the Newton steps took."""
    # a Newton step takes a gradient, and products with the metric: J and its transpose each
    products = sum(2 + 2 * step.products for step in result.newton)
    return replace(
        result.cost,
        gradients=result.cost.gradients + len(result.newton),
        products=result.cost.products + products,
        measured_memory_gb=runtime.peak_resident_bytes() / GB,
    )


def _attrs(job: Job, result: Result) -> dict[str, Any]:
    """What every product of the fit says of itself."""
    settings = job.settings
    return {
        "name": job.name,
        "model": settings.model,
        "order": list(settings.order),
        "half_widths_kpc": list(settings.box.half_widths_kpc),
        "ball": settings.fourier.ball if settings.fourier is not None else True,
        "estimator": _ESTIMATORS[result.converged],
        "provenance": job.origin,
    }


def _snapshots(job: Job, fit: Fit) -> dict[str, np.ndarray]:
    x, y = snapshot_axes(job.settings.box.half_widths_kpc)
    pictures = np.asarray([picture for _, picture in fit.snapshots], dtype=np.float32)
    return {
        "epoch": np.asarray([epoch for epoch, _ in fit.snapshots], dtype=np.int64),
        "x": x,
        "y": y,
        "ln_density": pictures.reshape(-1, len(x), len(y)),
    }


def _summary(job: Job, fit: Fit, result: Result, cost: Cost) -> dict[str, Any]:
    """What `fit.json` says beyond the attributes of all products."""
    accuracy = asdict(result.accuracy) if result.accuracy is not None else {}
    return {
        "parameters": result.parameters,
        "stars": len(job.train),
        "likelihood": result.likelihood,
        "mean": _mean_summary(result.field),
        "log_posterior": result.log_posterior,
        "rays": {"method": job.settings.ray_method} | accuracy,
        "converged": result.converged,
        "newton": [asdict(step) for step in result.newton],
        "seconds": spent_s(job, fit),
        "optimiser_seconds": fit.seconds,
        "cost": asdict(cost),
        "device": job.origin["device"],
    }


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
