"""Whether posteriors mean what they say: distributions of ranks inside their bands, coverage."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dust3d.plots.layout import Grid
from dust3d.plots.style import BLACK, BLUE, GREY, NO_DATA, VERMILION, styled

_COLUMNS = 4
_ROWS = {
    "ln_density_known": r"$\ln\rho$, known",
    "ln_density": r"$\ln\rho$, all",
    "extinction": "extinction",
}


@styled
def calibration_figure(found: Mapping[str, Any]) -> Figure:
    """Distribution of each scalar's ranks less the uniform one, and coverage of intervals.

    Parameters
    ----------
    found
        Contents of `calibration/{fit}.json`.
    """
    scalars = found["scalars"]
    rows = -(-(len(scalars) + 1) // _COLUMNS)
    grid = Grid(
        [1.75] * _COLUMNS, [1.25] * rows, gap_x=0.2, gap_y=0.42, left=0.7, top=0.3, bottom=0.5
    )
    panels = grid.axes.ravel()
    at = np.arange(1, found["samples"] + 1) / (found["samples"] + 1)
    lower, upper = (
        np.array(found["band"][end]) / found["mocks"] - at for end in ("lower", "upper")
    )
    limit = 1.25 * max(
        np.abs([lower, upper]).max(),
        *(np.abs(np.array(s["below"]) / found["mocks"] - at).max() for s in scalars.values()),
    )
    for ax, (name, scalar) in zip(panels, scalars.items(), strict=False):
        ax.fill_between(at, lower, upper, color=NO_DATA, lw=0)
        ax.axhline(0, color=GREY, lw=0.6)
        colour = BLUE if scalar["inside"] else VERMILION
        ax.step(at, np.array(scalar["below"]) / found["mocks"] - at, color=colour, where="mid")
        ax.set_title(name.replace("_", " "), fontsize=8.5)
        ax.set_xlim(0, 1)
        ax.set_ylim(-limit, limit)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        if ax not in grid.axes[:, 0]:
            ax.set_yticklabels([])
    place = panels[len(scalars)].get_position()
    for ax in panels[len(scalars) :]:
        ax.remove()
    # labels of the rows need room on the left
    room = 0.42 * place.width
    ax = grid.figure.add_axes((place.x0 + room, place.y0, place.width - room, place.height))
    _draw_coverage(ax, found["coverage"])
    grid.figure.supylabel("ranks below, less uniform", x=0.012, fontsize=9)
    grid.figure.supxlabel(r"rank / ($S$ + 1)", y=0.012, fontsize=9)
    return grid.figure


def _draw_coverage(ax: Axes, coverage: Mapping[str, Any]) -> None:
    for level, colour in (("0.68", BLUE), ("0.95", BLACK)):
        ax.axvline(float(level), color=colour, lw=0.6, ls=":")
        for place, key in enumerate(_ROWS):
            one = coverage[key][level]
            if one is not None:
                bar = {"fmt": "o", "color": colour, "ms": 3, "capsize": 2, "lw": 1}
                ax.errorbar(one["share"], place, xerr=one["standard_error"], **bar)
    ax.set_yticks(range(len(_ROWS)), list(_ROWS.values()), fontsize=6.5)
    ax.set_ylim(len(_ROWS) - 0.5, -0.5)
    ax.set_xlim(0.5, 1)
    ax.set_xticks([0.68, 0.95], ["68 %", "95 %"], fontsize=7)
    ax.tick_params(axis="y", length=0)
    ax.set_title("coverage", fontsize=8.5)
