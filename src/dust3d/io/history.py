"""The history of a fit: losses, scores, and pictures of the field on its way."""

from pathlib import Path
from typing import Any

import numpy as np

from dust3d.conventions import HISTORY_FORMAT
from dust3d.errors import ProductError
from dust3d.io.hdf5 import group_in, reading, write_attrs, writing

COLUMNS = ("epoch", "step", "seconds", "loss", "train_score", "heldout_score")


def write_history(
    path: str | Path,
    rows: list[tuple[float, ...]],
    snapshots: dict[str, np.ndarray],
    attrs: dict[str, Any],
) -> None:
    """Write rows of `COLUMNS` and snapshots of ln rho (epoch, x, y, ln_density)."""
    table = np.asarray(rows, dtype=np.float64).reshape(-1, len(COLUMNS))
    with writing(path, HISTORY_FORMAT) as file:
        write_attrs(file, attrs)
        for name, column in zip(COLUMNS, table.T, strict=True):
            file[name] = column
        group = file.create_group("snapshots")
        for name, array in snapshots.items():
            group.create_dataset(name, data=array, compression="gzip", shuffle=True)


def read_history(path: str | Path) -> dict[str, np.ndarray]:
    """The columns of a history, and its snapshots as `snapshots/...`.

    `loss` is the mean of -(ln posterior) / stars over an epoch; scores are mean log
    predictive densities per star [ln(1 / mag)], NaN at epochs without evaluation.
    """
    with reading(path, HISTORY_FORMAT) as file:
        missing = [name for name in COLUMNS if name not in file]
        if missing:
            raise ProductError(f"{path}: the history lacks {', '.join(missing)}; fit again")
        found = {name: np.asarray(file[name]) for name in COLUMNS}
        if "snapshots" in file:
            for name, stored in group_in(file, "snapshots").items():
                found[f"snapshots/{name}"] = np.asarray(stored)
    return found
