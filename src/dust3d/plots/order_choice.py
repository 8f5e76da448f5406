"""Where more order stops paying: evidence, held-out score and weights of each fit of a run."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dust3d.plots.layout import Grid
from dust3d.plots.style import BLUE, GREEN, GREY, VERMILION, Line, lines_for, styled

# below so many nats, or so many thousandths of a nat per star, the scale is linear
_LINEAR_NATS = 3.0
_LINEAR_PER_STAR = 0.01


@styled
def choice_figure(choice: Mapping) -> Figure:
    """ln Z and held-out density of each fit, relative to the best, and what each weighs.

    Differences grow by decades: their scale is linear near 0, and logarithmic beyond. Errors of
    held-out differences are those of pairs, on the same stars.

    Parameters
    ----------
    choice
        Contents of `scores/orders.json`.
    """
    rows = choice["fits"]
    known = choice["evidence"] is not None
    wide = max(2.6, 0.6 * len(rows) + 0.4)
    panels = 3 if known else 2
    grid = Grid([wide] * panels, [3.0], gap_x=0.95, left=0.85, top=0.2, bottom=1.0)
    lines, place = lines_for([row["name"] for row in rows]), np.arange(len(rows))
    axes = list(grid.axes[0])
    if known:
        _draw_evidence(axes.pop(0), place, choice, lines)
    _draw_heldout(axes[0], place, choice, lines)
    _draw_weights(axes[1], place, choice)
    labels = [
        line.label.replace(" ", "\n", 1) + f"\n({row['parameters']:,})".replace(",", "\u2009")
        for line, row in zip(lines, rows, strict=True)
    ]
    for ax in grid.axes[0]:
        ax.set_xticks(place, labels, fontsize=7.5)
        ax.set_xlim(-0.6, len(rows) - 0.4)
        ax.tick_params(axis="x", length=0)
        ax.set_xlabel("fit (parameters)")
    return grid.figure


def _points(
    ax: Axes, place: np.ndarray, values: np.ndarray, errors: np.ndarray, lines: Sequence[Line]
) -> None:
    fourier = np.array([line.marker == "o" for line in lines]) & np.isfinite(values)
    ax.axhline(0.0, color=GREY, lw=0.8, zorder=0)
    ax.plot(place[fourier], values[fourier], color=GREY, lw=0.9, zorder=1)
    for x, y, dy, line in zip(place, values, errors, lines, strict=True):
        if np.isfinite(y):
            ax.errorbar(x, y, dy, fmt=line.marker, color=line.colour, capsize=2.5, ms=5.5, lw=1.2)


def _mark(ax: Axes, x: int, label: str, colour: str, dashes: str | tuple) -> None:
    ax.axvline(x, color=colour, lw=1.1, ls=dashes, label=label, zorder=0)


def _scale(ax: Axes, linear: float) -> None:
    """Linear near 0, decades beyond; room for the legend below."""
    ax.set_yscale("symlog", linthresh=linear)
    low = min(ax.get_ylim()[0], -3 * linear)
    ax.set_ylim(8 * low, 1.5 * linear)
    ax.legend(loc="lower right")


def _draw_evidence(ax: Axes, place: np.ndarray, choice: Mapping, lines: Sequence[Line]) -> None:
    rows = choice["fits"]
    values = np.array(
        [np.nan if row["ln_evidence"] is None else row["ln_evidence"] for row in rows], dtype=float
    )
    errors = np.array([row["ln_evidence_error"] for row in rows], dtype=float)
    _points(ax, place, values - np.nanmax(values), errors, lines)
    names = [row["name"] for row in rows]
    _mark(ax, names.index(choice["evidence"]["winner"]), "most probable", VERMILION, "-")
    ax.set_ylabel(r"$\ln Z$ below the best [nats]")
    _scale(ax, _LINEAR_NATS)


def _draw_heldout(ax: Axes, place: np.ndarray, choice: Mapping, lines: Sequence[Line]) -> None:
    rows, found = choice["fits"], choice["heldout"]
    values = np.array([row["heldout"]["difference"] for row in rows], dtype=float)
    errors = np.array([row["heldout"]["difference_error"] or 0.0 for row in rows], dtype=float)
    _points(ax, place, values, errors, lines)
    names = [row["name"] for row in rows]
    simplest = found["simplest_within_one_standard_error"]
    _mark(ax, names.index(found["best"]), "best", VERMILION, "-")
    if simplest != found["best"]:
        label = "simplest within\none standard error"
        _mark(ax, names.index(simplest), label, BLUE, (0, (4, 2)))
    ax.set_ylabel("held-out log predictive density per star\nbelow the best [ln (1 / mag)]")
    _scale(ax, _LINEAR_PER_STAR)


def _draw_weights(ax: Axes, place: np.ndarray, choice: Mapping) -> None:
    rows, half = choice["fits"], 0.36
    known = choice["evidence"]
    if known is not None:
        chances = [known["probabilities"].get(row["name"], np.nan) for row in rows]
        ax.bar(place - half / 2, chances, half, color=VERMILION, label="probability by evidence")
    weights = [row["weight"] for row in rows]
    shift = half / 2 if known is not None else 0.0
    ax.bar(place + shift, weights, half, color=GREEN, label="weight in the average")
    ax.set_ylim(0, 1.3)
    ax.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    ax.set_ylabel("share")
    ax.legend(loc="upper left")
