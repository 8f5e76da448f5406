"""One fit: stars in; field, history, summary and checkpoint out."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dust3d import runtime
from dust3d.config.optimiser import Original
from dust3d.files import remove
from dust3d.inference.accuracy import sample_rows
from dust3d.inference.build import target_for
from dust3d.inference.cost import Cost, cost_of
from dust3d.inference.feed import Scratch
from dust3d.inference.loop import Fit, walk
from dust3d.inference.memory import Budget
from dust3d.inference.prior import size_of
from dust3d.inference.recipes import AdamRecipe, OriginalRecipe
from dust3d.inference.settings import FitSettings
from dust3d.inference.sources import shuffled
from dust3d.io.star_table import StarTable
from dust3d.io.stars import class_names_of
from dust3d.provenance import digest_of, file_digest, provenance
from dust3d.stages.fit_job import Job, Result
from dust3d.stages.fit_maximum import finish
from dust3d.stages.fit_products import write
from dust3d.stages.fit_resume import hooks, resume
from dust3d.stages.fit_start import coefficients, warm_start


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
    digest = digest_of([settings, seed, source, inputs])
    origin = provenance(settings=settings, source=source, seed=seed)
    origin["device"] = runtime.device_name()
    scratch = Scratch(folder / "rays.scratch", digest)
    job = Job(name, folder, parsed, stars, others, budget, seed, digest, origin, scratch, started)
    try:
        if isinstance(parsed.optimiser.method, Original) and parsed.fourier is not None:
            write(job, *_run_original(job, start))
        else:
            write(job, *_run_adam(job, start))
    finally:
        stars.close()
        others.close()
        remove(scratch.folder)


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


def _run_adam(job: Job, start: str | Path | None) -> tuple[Fit, Result]:
    settings = job.settings
    target = target_for(settings, len(job.train.class_names), job.seed, settings.dtype)
    first = warm_start(job, target, start) if start is not None else None
    recipe = AdamRecipe(
        settings, job.train, job.heldout, job.seed, target, first, job.budget, job.scratch
    )
    fit = walk(job.name, recipe, resume(job, recipe), hooks(job), job.seed)
    cost = _cost(job, recipe, fit)
    return fit, finish(job, target, recipe, fit, cost)


def _run_original(job: Job, start: str | Path | None) -> tuple[Fit, Result]:
    first = coefficients(job, start) if start is not None else None
    recipe = OriginalRecipe(
        job.settings, job.train, job.heldout, job.seed, first, job.budget, job.scratch
    )
    fit = walk(job.name, recipe, resume(job, recipe), hooks(job), job.seed)
    field = recipe.final_field(fit.parameters)
    cost = _cost(job, recipe, fit)
    return fit, Result(field, {}, None, None, [], None, size_of(fit.parameters), cost)


def _cost(job: Job, recipe: AdamRecipe | OriginalRecipe, fit: Fit) -> Cost:
    """What the optimiser took."""
    return cost_of(
        job.budget,
        steps=int(fit.rows[-1][1]),
        batches=recipe.feed.count,
        seconds=fit.seconds,
        setup_seconds=recipe.feed.seconds,
    )
