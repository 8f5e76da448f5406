"""Known clouds, looked for in a finished map."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dust3d import runtime
from dust3d.config.clouds import Clouds
from dust3d.fields.sum import in_cosines
from dust3d.files import atomic_path, write_json
from dust3d.io.fields import load_field
from dust3d.io.samples import load_samples
from dust3d.provenance import provenance
from dust3d.scores.clouds import cloud_distances

_COLUMNS = (
    "name",
    "published_kpc",
    "distance_kpc",
    "low_kpc",
    "high_kpc",
    "density",
    "contrast",
    "detected",
    "agrees",
)


def clouds(
    *,
    fit: str | Path,
    samples: str | Path | None,
    output: str | Path,
    table: str | Path,
    settings: Mapping[str, Any],
    seed: int,
    source: str,
) -> None:
    """Distances of the clouds of a list, with errors, beside those that were published.

    Parameters
    ----------
    fit, samples
        `field.h5`, and the samples around it, if there are any.
    output, table
        Where the summary (JSON) and the table of clouds (CSV) go.
    settings
        Section `clouds`.
    seed, source
        Of the run and of the stage.
    """
    runtime.configure()
    wanted = Clouds.model_validate(settings["clouds"])
    field, attrs = load_field(fit)
    fields = [field] if samples is None else load_samples(samples, in_cosines(field)).fields
    found = cloud_distances(fields, wanted)
    origin = provenance(settings=settings, source=source, seed=seed)
    with atomic_path(table) as aside, aside.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for cloud in found["clouds"]:
            values = [cloud[name] for name in _COLUMNS]
            writer.writerow([f"{v:.4g}" if isinstance(v, float) else v for v in values])
    write_json(
        output,
        {"name": attrs.get("name"), "samples": len(fields)} | found | {"provenance": origin},
    )
