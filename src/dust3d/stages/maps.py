"""Fields on the run's grid: paths in, zarr stores out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dust3d import runtime
from dust3d.config.base import Box
from dust3d.config.output import Map
from dust3d.fields.sum import in_cosines
from dust3d.io.fields import load_field
from dust3d.io.maps import write_map
from dust3d.io.samples import load_samples
from dust3d.io.stars import read_observations
from dust3d.maps.gridding import grid_map
from dust3d.observations import Observations
from dust3d.provenance import provenance


def _make(
    field: str | Path,
    output: str | Path,
    settings: Mapping[str, Any],
    seed: int,
    source: str,
    stars: Observations | None = None,
    samples: str | Path | None = None,
) -> None:
    runtime.configure()
    box, grid = Box.model_validate(settings["box"]), Map.model_validate(settings["map"])
    function, attrs = load_field(field)
    origin = provenance(settings=settings, source=source, seed=seed)
    origin["field"] = attrs.get("provenance", {})
    kept = {k: attrs[k] for k in ("name", "model", "order", "estimator") if k in attrs}
    posterior = load_samples(samples, in_cosines(function)) if samples is not None else None
    dataset = grid_map(
        function,
        box.half_widths_kpc,
        grid.cells,
        {"estimator": "truth", "seed": seed, "provenance": origin} | kept,
        stars,
        posterior,
    )
    write_map(output, dataset)


def truth_map(
    *, field: str | Path, output: str | Path, settings: Mapping[str, Any], seed: int, source: str
) -> None:
    """The map of a mock's true field."""
    _make(field, output, settings, seed, source)


def fit_map(
    *,
    fit: str | Path,
    train: str | Path,
    output: str | Path,
    settings: Mapping[str, Any],
    seed: int,
    source: str,
    samples: str | Path | None = None,
) -> None:
    """The map of a fit, with the number of its stars in each cell.

    Parameters
    ----------
    fit, train
        The fitted field and its stars.
    output
        Where the zarr store goes.
    settings
        Sections `box`, `map`.
    seed, source
        Of the run and of the stage.
    samples
        Of its posterior: values are then means over them, with uncertainties beside.
    """
    box = Box.model_validate(settings["box"])
    stars = read_observations(train, box.half_widths_kpc)
    _make(fit, output, settings, seed, source, stars, samples)
