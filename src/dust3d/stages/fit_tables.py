"""The stars of a fit as it takes them."""

from pathlib import Path
from typing import Any

import numpy as np

from dust3d.inference.accuracy import sample_rows
from dust3d.inference.settings import FitSettings
from dust3d.inference.sources import shuffled
from dust3d.io.star_table import StarTable
from dust3d.io.stars import class_names_of


def star_tables(
    settings: FitSettings, scratch: Path, train: str | Path, heldout: str | Path, seed: int
) -> tuple[StarTable, StarTable]:
    """Training and held-out stars, checked; those of training in the order of their batches."""
    names, box = class_names_of([train, heldout]), settings.box.half_widths_kpc

    def sample(n: int) -> np.ndarray:
        return sample_rows(n, seed)

    stars, others = scratch / "train.h5", scratch / "heldout.h5"
    alike: dict[str, Any] = {"sample": sample, "cells": settings.distance_cells}
    return (
        StarTable(train, box, names, scratch=stars, order=lambda n: shuffled(n, seed), **alike),
        StarTable(heldout, box, names, scratch=others, **alike),
    )
