"""The figure of the choice among the fits of a run."""

from collections.abc import Mapping
from typing import Any

from dust3d.io.reports import read_json
from dust3d.plots.order_choice import choice_figure
from dust3d.stages.figures.common import PathLike, save_figures


def order_choice_figure(
    *,
    choice: PathLike,
    outputs: Mapping[str, PathLike],
    settings: dict[str, Any],
    seed: int,
    source: str,
) -> None:
    """Draw where more order stops paying.

    Parameters
    ----------
    choice
        `scores/orders.json`.
    outputs
        PNG to be written for the kind `order_choice`.
    settings
        The section plots.
    seed, source
        For the record: the run's seed, the digest of the source.

    Raises
    ------
    ProductError
        If the choice is missing or damaged, or a figure of that kind does not exist.
    """
    found = read_json(choice, ["fits", "evidence", "heldout.best", "average"])
    draw = {"order_choice": lambda: choice_figure(found)}
    save_figures(draw, outputs, title="comparison", settings=settings, seed=seed, source=source)
