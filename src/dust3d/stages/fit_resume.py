"""Stopping a fit and going on with it: its state to a checkpoint and back."""

from pathlib import Path

import numpy as np

from dust3d.errors import ProductError
from dust3d.inference.loop import Fit, Hooks
from dust3d.inference.recipes import AdamRecipe, OriginalRecipe
from dust3d.io.checkpoints import checkpoint_attrs, load_checkpoint, save_checkpoint
from dust3d.io.history import COLUMNS
from dust3d.progress import logger
from dust3d.stages.fit_job import Job


def _path(job: Job) -> Path:
    return job.folder / "checkpoint.h5"


def resume(job: Job, recipe: AdamRecipe | OriginalRecipe) -> Fit:
    """The fit as its checkpoint left it, or a fresh one."""
    path = _path(job)
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


def save(job: Job, fit: Fit, *, complete: bool = False) -> None:
    """Write a checkpoint."""
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
    save_checkpoint(_path(job), tree, arrays, attrs)


def hooks(job: Job) -> Hooks:
    """What happens on the way of a fit."""
    optimiser = job.settings.optimiser
    return Hooks(
        lambda fit: save(job, fit),
        optimiser.evaluate_every_epochs,
        optimiser.snapshots,
        optimiser.checkpoint_every_s,
    )
