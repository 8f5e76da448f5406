"""A mock sky: two catalogues, and the truth behind them kept aside."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable

from dust3d import runtime
from dust3d.config.base import Box
from dust3d.config.mock import Mock
from dust3d.io.fields import save_field
from dust3d.io.tables import write_table
from dust3d.mock.catalogues import observe
from dust3d.mock.digest import check_digest, truth_digest
from dust3d.mock.stars import draw_stars
from dust3d.mock.truths import draw_truth
from dust3d.progress import logger
from dust3d.provenance import provenance


def make(
    *,
    astrometry: str | Path,
    extinction: str | Path,
    truth_stars: str | Path,
    truth_field: str | Path,
    settings: dict[str, Any],
    seed: int,
    source: str,
) -> None:
    """Make the two catalogues of a mock and the truth.

    Parameters
    ----------
    astrometry, extinction
        The catalogues, HDF5 star tables to be written.
    truth_stars
        True distances, extinctions and identifications, a star table to be written.
    truth_field
        The true ln rho, a field to be written.
    settings
        The sections `box` and `mock` of the configuration.
    seed
        The run's seed.
    source
        Digest of the source that this depends on, for the record.

    Raises
    ------
    ConfigError
        If the dust is not that of `mock.truth_digest`.
    """
    runtime.configure()
    box, mock = Box.model_validate(settings["box"]), Mock.model_validate(settings["mock"])
    origin = provenance(settings=settings, source=source, seed=seed)
    field = draw_truth(mock.truth, box, seed)
    digest = truth_digest(field, box)
    check_digest(digest, mock.truth_digest)
    stars = draw_stars(field, mock.stars, mock.extinction, box, seed)
    logger.info(
        "%d stars are bright enough; their median A_V is %.3f mag, the largest %.2f mag",
        len(stars),
        np.median(stars.extinction),
        np.max(stars.extinction),
    )
    sky = observe(stars, mock, seed)
    for path, table in (
        (astrometry, sky.astrometry),
        (extinction, sky.extinction),
        (truth_stars, sky.truth),
    ):
        write_table(path, QTable(table, meta={**(table.meta or {}), "provenance": origin}))
    save_field(
        truth_field,
        field,
        {
            "half_widths_kpc": box.half_widths_kpc,
            "kind": mock.truth.kind,
            "digest": digest,
            "provenance": origin,
        },
    )
