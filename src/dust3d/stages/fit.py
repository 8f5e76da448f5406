"""One fit: stars in; field, history, summary and checkpoint out."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dust3d import processes, runtime
from dust3d.config.optimiser import Original
from dust3d.determinism import set_deterministic
from dust3d.files import scratch_folder
from dust3d.inference.build import target_for
from dust3d.inference.cost import Cost, cost_of
from dust3d.inference.feed import Scratch
from dust3d.inference.loop import Fit, walk
from dust3d.inference.memory import Budget
from dust3d.inference.newton import taken
from dust3d.inference.prior import size_of
from dust3d.inference.recipes import AdamRecipe, OriginalRecipe
from dust3d.inference.settings import FitSettings
from dust3d.launch import launch
from dust3d.provenance import digest_of, file_digest, provenance
from dust3d.stages.fit_job import Job, Result
from dust3d.stages.fit_maximum import finish
from dust3d.stages.fit_products import write
from dust3d.stages.fit_resume import hooks, resume
from dust3d.stages.fit_start import coefficients, warm_start
from dust3d.stages.fit_tables import star_tables


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
    tasks: int = 1,
    launcher: str | None = None,
    cpus: int | None = None,
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
    tasks, launcher, cpus
        How many processes share the stars, what starts them, and CPUs of each, as of `launch`; in
        each of them there is one task.

    Raises
    ------
    TableError, FitError, ProductError, StorageError
        If the stars cannot be used, the loss is not finite, a product is damaged or cannot be
        written.
    Interrupted
        After a step and a checkpoint, if the process was asked to end.
    """
    if tasks > 1:
        stars_and_start = {"train": train, "heldout": heldout, "start": start}
        rest = {
            "name": name,
            "folder": folder,
            "settings": settings,
            "seed": seed,
            "source": source,
        }
        module = "dust3d.stages.fit_process"
        launch(module, stars_and_start | rest, tasks=tasks, launcher=launcher, cpus=cpus)
        return
    parsed, folder = FitSettings.parse(settings), Path(folder)
    set_deterministic(parsed.deterministic)
    runtime.configure()
    processes.join()
    started = time.monotonic()
    with processes.ending_together(), ExitStack() as stack:
        inputs = {"train": train, "heldout": heldout, "start": start}
        digests = {k: file_digest(p) if p is not None else None for k, p in inputs.items()}
        made_of = {"settings": settings, "seed": seed, "source": source} | digests
        origin = provenance(settings=settings, source=source, seed=seed)
        origin["device"] = runtime.device_name()
        aside = stack.enter_context(scratch_folder(folder, "attempt"))
        stars, others = star_tables(parsed, aside, train, heldout, seed)
        stack.callback(stars.close)
        stack.callback(others.close)
        digest = digest_of(made_of)
        job = Job(
            name=name,
            folder=folder,
            settings=parsed,
            train=stars,
            heldout=others,
            budget=Budget(parsed.optimiser.stream, parsed.optimiser.memory_gb),
            seed=seed,
            made_of=made_of,
            digest=digest,
            origin=origin,
            scratch=Scratch(aside / "rays", digest),
            started_s=started,
        )
        if isinstance(parsed.optimiser.method, Original) and parsed.fourier is not None:
            write(job, *_run_original(job, start))
        else:
            write(job, *_run_adam(job, start))


def _run_adam(job: Job, start: str | Path | None) -> tuple[Fit, Result]:
    settings = job.settings
    target = target_for(settings, len(job.train.class_names), job.seed, settings.dtype)
    first = None
    if start is not None:
        first = warm_start(settings, job.train.class_names, target, start)
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
    """What the workhorse took, Newton steps of an earlier attempt left aside."""
    newton = taken(fit.ascent.steps) if fit.ascent is not None else 0
    last = fit.rows[len(fit.rows) - newton - 1]
    return cost_of(
        job.budget,
        steps=int(last[1]),
        batches=recipe.feed.count,
        seconds=last[2],
        setup_seconds=recipe.feed.seconds,
    )
