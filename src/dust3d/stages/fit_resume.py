"""Stopping a fit and going on with it: its state to a checkpoint and back."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from dust3d import processes
from dust3d.errors import ProductError
from dust3d.files import remove
from dust3d.inference.ascent import Ascent, Memory
from dust3d.inference.loop import Fit, Hooks, Parameters
from dust3d.inference.newton import NewtonStep
from dust3d.inference.recipes import AdamRecipe, OriginalRecipe
from dust3d.inference.settings import Choice
from dust3d.io.checkpoints import (
    Checkpoint,
    previous_path,
    read_checkpoint,
    save_checkpoint,
    stored_paths,
)
from dust3d.io.history import COLUMNS
from dust3d.progress import logger
from dust3d.stages.fit_changes import changes
from dust3d.stages.fit_job import Job

_MACHINE = ("versions", "device")


def _path(job: Job) -> Path:
    return job.folder / "checkpoint.h5"


def resume(job: Job, recipe: AdamRecipe | OriginalRecipe) -> Fit:
    """The fit as its newest checkpoint that is whole left it, or a fresh one."""
    fresh = Fit(recipe.first())
    path = processes.agreed(_usable(job) if processes.index() == 0 else None)
    if path is None:
        return fresh
    try:
        resumed = _restored(recipe, fresh.parameters, read_checkpoint(path))
    except (ProductError, LookupError, ValueError, TypeError) as error:
        logger.warning("%s: checkpoint not used: %s; starting anew", job.name, error)
        return fresh
    logger.info("%s: resumed %s", job.name, _where(resumed))
    return resumed


def _usable(job: Job) -> str | None:
    """Path of the newest checkpoint that is whole, if it is of this fit and there is more to do."""
    damaged = False
    for path in stored_paths(_path(job)):
        try:
            found = read_checkpoint(path)
        except ProductError as error:
            damaged = True
            logger.warning("%s: checkpoint not used: %s", job.name, error)
            continue
        if found.attrs.get("digest") != job.digest:
            _tell_changes(job, found)
            return None
        if found.attrs.get("complete"):
            return None
        if not _fits_machine(job, found):
            return None
        if damaged:
            logger.warning("%s: the one before it is used: %s", job.name, path)
        return str(path)
    if damaged:
        logger.warning("%s: no checkpoint is whole; starting anew", job.name)
    return None


def _fits_machine(job: Job, found: Checkpoint) -> bool:
    """Whether to go on with a checkpoint that other libraries or another device may have made.

    The numbers of such a fit are nobody's alone, so one that shall repeat to the bit begins anew.
    """
    try:
        both = json.loads(found.attrs["provenance"]), job.origin
        what = changes(*({"settings": {key: o[key] for key in _MACHINE}} for o in both))
    except (KeyError, ValueError, TypeError):
        what = "it does not say which"
    if not what:
        return True
    anew = job.settings.deterministic
    logger.warning(
        "%s: the checkpoint is of other libraries or another device (%s); %s",
        job.name,
        what,
        "starting anew, as deterministic is true" if anew else "going on with it",
    )
    return not anew


def _where(fit: Fit) -> str:
    if fit.ascent is not None:
        return f"after Newton step {len(fit.ascent.steps)}"
    step = f", step {len(fit.done)}" if fit.done else ""
    return f"at epoch {fit.epoch}{step} of phase {fit.phase + 1}"


def _tell_changes(job: Job, found: Checkpoint) -> None:
    try:
        before = json.loads(found.arrays["made_of"].tobytes())
        what = changes(before, json.loads(_text(job.made_of)))
    except (KeyError, ValueError, AttributeError):
        what = "settings, stars or program"
    logger.info(
        "%s: the checkpoint is of other settings or stars (%s); starting anew", job.name, what
    )


def _text(content: Any) -> bytes:
    return json.dumps(content, default=str).encode()


def _restored(
    recipe: AdamRecipe | OriginalRecipe, parameters: Parameters, found: Checkpoint
) -> Fit:
    attrs, arrays = found.attrs, found.arrays
    phase = int(attrs["phase"])
    for number in range(phase + 1):
        parameters = recipe.enter(number, parameters)
    ascent = _ascent(arrays) if "ascent_place" in arrays else None
    state = recipe.phase(phase).method.start(parameters) if ascent is None else None
    tree = found.tree({"parameters": parameters, "state": state})
    return Fit(
        tree["parameters"],
        tree["state"],
        phase,
        int(attrs["epoch"]),
        float(attrs["seconds"]),
        [tuple(row) for row in arrays["rows"].tolist()],
        list(zip(arrays["snapshot_epochs"].tolist(), arrays["snapshots"], strict=True)),
        [(loss, score) for loss, score in arrays["done"].tolist()],
        ascent,
        float(attrs["spent_s"]),
    )


def _ascent(arrays: dict[str, np.ndarray]) -> Ascent:
    stage, nodes = arrays["ascent_stage"].tolist()
    rows = arrays["ascent_steps"].tolist()
    steps = [
        NewtonStep(value, gain, length, int(products), bool(settled))
        for value, gain, length, products, settled in rows
    ]
    memory = Memory(arrays.get("ascent_made_at"), tuple(arrays["ascent_memory"].tolist()))
    value = float(arrays["ascent_log_posterior"])
    rays = None
    if "ascent_rays" in arrays:
        rays = Choice(*json.loads(arrays["ascent_rays"].tobytes().decode()))
    return Ascent(stage, nodes, arrays["ascent_place"], steps, value, memory, rays)


def _ascent_arrays(ascent: Ascent) -> dict[str, np.ndarray]:
    rows = [
        (s.log_posterior, s.predicted_gain, s.length, s.products, s.settled) for s in ascent.steps
    ]
    arrays = {
        "ascent_stage": np.asarray([ascent.stage, ascent.nodes]),
        "ascent_place": ascent.place,
        "ascent_steps": np.asarray(rows, dtype=np.float64),
        "ascent_log_posterior": np.asarray(ascent.log_posterior),
        "ascent_memory": np.asarray(ascent.memory.numbers, dtype=np.float64),
    }
    if ascent.memory.made_at is not None:
        arrays["ascent_made_at"] = ascent.memory.made_at
    if ascent.rays is not None:
        arrays["ascent_rays"] = np.frombuffer(_text(list(ascent.rays)), dtype=np.uint8)
    return arrays


def save(job: Job, fit: Fit, *, complete: bool = False) -> None:
    """Write a checkpoint, by the first process; the one before is kept until the fit is complete.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    if processes.index() > 0:
        return
    pictures = [picture for _, picture in fit.snapshots]
    arrays = {
        "rows": np.asarray(fit.rows, dtype=np.float64).reshape(-1, len(COLUMNS)),
        "snapshot_epochs": np.asarray([epoch for epoch, _ in fit.snapshots], dtype=np.int64),
        "snapshots": np.asarray(pictures, dtype=np.float32),
        "done": np.asarray(fit.done, dtype=np.float64).reshape(-1, 2),
        "made_of": np.frombuffer(_text(job.made_of), dtype=np.uint8),
    }
    if fit.ascent is not None:
        arrays |= _ascent_arrays(fit.ascent)
    attrs = {
        "digest": job.digest,
        "phase": fit.phase,
        "epoch": fit.epoch,
        "seconds": fit.seconds,
        "spent_s": spent_s(job, fit),
        "complete": complete,
        "provenance": job.origin,
    }
    tree = {"parameters": fit.parameters, "state": fit.state}
    save_checkpoint(_path(job), tree, arrays, attrs)
    if complete:
        remove(previous_path(_path(job)))


def spent_s(job: Job, fit: Fit) -> float:
    """Wall time of all attempts so far [s]."""
    return fit.spent_s + time.monotonic() - job.started_s


def hooks(job: Job) -> Hooks:
    """What happens on the way of a fit."""
    optimiser = job.settings.optimiser
    return Hooks(
        lambda fit: save(job, fit),
        optimiser.evaluate_every_epochs,
        optimiser.snapshots,
        optimiser.checkpoint_every_s,
    )
