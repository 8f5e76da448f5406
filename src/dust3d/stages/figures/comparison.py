"""Figures that set all fits side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dust3d.io.maps import read_map
from dust3d.io.reports import read_scores
from dust3d.plots.columns import compare_columns
from dust3d.plots.orders import order_figure
from dust3d.plots.slices import compare_slices
from dust3d.plots.spectra import map_power, power_spectra, recovery_spectra
from dust3d.stages.figures.common import PathLike, look, read_truth, save_figures


def comparison_figures(
    *,
    names: Sequence[str],
    maps: Sequence[PathLike],
    scores: Sequence[PathLike],
    outputs: Mapping[str, PathLike],
    settings: dict[str, Any],
    seed: int,
    source: str,
    truth_map: PathLike | None = None,
) -> None:
    """Draw the figures that set all fits side by side.

    Parameters
    ----------
    names, maps, scores
        Names of the fits, their maps and their scores, in one order.
    outputs
        PNG to be written for each kind: slices, columns, spectra, orders.
    settings
        The sections plots, box and selection.
    seed, source
        For the record: the run's seed, the digest of the source.
    truth_map
        The true map, of a mock.

    Raises
    ------
    ProductError
        If a product is missing or damaged, or a figure of that kind does not exist.
    """
    fits = {name: read_map(path) for name, path in zip(names, maps, strict=True)}
    truth = read_truth(truth_map, fits[names[0]], Path(maps[0]))
    found = [read_scores(path) for path in scores]
    appearance = look(settings)

    def spectra() -> Any:
        if all(score.get("recovery") for score in found):
            return recovery_spectra({score["name"]: score["recovery"] for score in found})
        return power_spectra({name: map_power(fit) for name, fit in fits.items()})

    heights = settings["plots"]["slices_kpc"]
    draw = {
        "slices": lambda: compare_slices(fits, truth, heights_kpc=heights, **appearance),
        "columns": lambda: compare_columns(fits, truth, **appearance),
        "spectra": spectra,
        "orders": lambda: order_figure(found),
    }
    save_figures(draw, outputs, title="comparison", settings=settings, seed=seed, source=source)
