"""Figures of a calibration."""

from collections.abc import Sequence
from typing import Any

from dust3d.errors import ConfigError
from dust3d.io.reports import read_json
from dust3d.plots.calibration import calibration_figure
from dust3d.stages.figures.common import PathLike, save_figures

_NEEDED = ("name", "mocks", "samples", "band.lower", "band.upper", "scalars", "coverage")


def calibration_figures(
    *,
    calibrations: Sequence[PathLike],
    outputs: Sequence[PathLike],
    settings: dict[str, Any],
    seed: int,
    source: str,
) -> None:
    """Draw the ranks and the coverage of each calibrated fit.

    Parameters
    ----------
    calibrations, outputs
        `calibration/{fit}.json`, and the PNG to be written for each.
    settings
        The section plots.
    seed, source
        For the record: the run's seed, the digest of the source.

    Raises
    ------
    ConfigError
        If the run calibrates nothing.
    ProductError
        If a calibration is missing or damaged.
    """
    if not calibrations:
        raise ConfigError(
            "the configuration has no section `calibration`, so there is nothing to calibrate; "
            "add it (config/sbc.yaml has one)"
        )
    for path, output in zip(calibrations, outputs, strict=True):
        found = read_json(path, _NEEDED)
        draw = {"calibration": lambda found=found: calibration_figure(found)}
        save_figures(
            draw,
            {"calibration": output},
            title=found["name"],
            settings=settings,
            seed=seed,
            source=source,
        )
