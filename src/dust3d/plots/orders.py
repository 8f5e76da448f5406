"""Which order to believe: held-out score, width of residuals and recovery of every fit."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dust3d.plots.layout import Grid
from dust3d.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    TRUNCATED_TRUTH,
    VERMILION,
    Line,
    lines_for,
    styled,
)

_BASELINES = {"neighbours": "mean of nearest stars", "slab": "slab"}


@styled
def order_figure(scores: Sequence[Mapping]) -> Figure:
    """Held-out score with its baselines, width of residuals and, for mocks, correlation.

    Widths are in units of the catalogue's errors, and of the half-width of the central 68 % of the
    predictive distribution. The bar at a correlation is that of the truth itself, truncated to the
    fit's modes on the whole periodic box.

    Parameters
    ----------
    scores
        Contents of `scores/{fit}.json`, in the order in which fits are drawn.
    """
    known = [s["recovery"] for s in scores if s.get("recovery")]
    panels = 3 if len(known) == len(scores) else 2
    wide = max(2.6, 0.55 * len(scores) + 0.6)
    grid = Grid([wide] * panels, [3.0], gap_x=0.72, left=0.78, top=0.2, bottom=1.0)
    lines = lines_for([s["name"] for s in scores])
    place = np.arange(len(scores))
    _draw_scores(grid.axes[0, 0], place, scores, lines)
    _draw_widths(grid.axes[0, 1], place, scores)
    if panels == 3:
        _draw_correlation(grid.axes[0, 2], place, known, lines)
    labels = [
        line.label.replace(" ", "\n", 1) + f"\n({s['parameters']:,})".replace(",", "\u2009")
        for line, s in zip(lines, scores, strict=True)
    ]
    for ax in grid.axes[0]:
        ax.set_xticks(place, labels, fontsize=7.5)
        ax.set_xlim(-0.6, len(scores) - 0.4)
        ax.tick_params(axis="x", length=0)
        ax.set_xlabel("fit (parameters)")
    return grid.figure


def _value(number: float | None) -> float:
    return np.nan if number is None else float(number)


def _connected(scores: Sequence[Mapping]) -> np.ndarray:
    return np.array([s["name"].startswith("fourier") for s in scores])


def _draw_scores(
    ax: Axes, place: np.ndarray, scores: Sequence[Mapping], lines: Sequence[Line]
) -> None:
    held = [s["heldout"]["log_predictive_density"] for s in scores]
    mean = np.array([_value(h["mean"]) for h in held])
    error = np.array([_value(h.get("standard_error")) for h in held])
    fourier = _connected(scores)
    ax.plot(place[fourier], mean[fourier], color=GREY, lw=0.9, zorder=1)
    for x, y, dy, line in zip(place, mean, error, lines, strict=True):
        ax.errorbar(x, y, dy, fmt=line.marker, color=line.colour, capsize=2.5, ms=5.5, lw=1.2)
    colours = iter((VERMILION, PURPLE, ORANGE, GREEN))
    baselines = scores[0]["heldout"].get("baselines") or {}
    for (key, baseline), colour in zip(baselines.items(), colours, strict=False):
        level = float(
            np.nanmean(
                [
                    _value(s["heldout"]["baselines"][key]["mean"])
                    for s in scores
                    if key in (s["heldout"].get("baselines") or {})
                ]
            )
        )
        if np.isfinite(_value(baseline["mean"])):
            ax.axhline(level, color=colour, lw=1.1, ls=(0, (5, 2)), label=_BASELINES.get(key, key))
    ax.set_ylabel("held-out log predictive density\nper star [ln (1 / mag)]")
    low, high = ax.get_ylim()
    ax.set_ylim(low - 0.05 * (high - low), high + 0.22 * (high - low))
    if baselines:
        ax.legend(loc="upper left", title="baselines", title_fontsize=8)


def _draw_widths(ax: Axes, place: np.ndarray, scores: Sequence[Mapping]) -> None:
    kinds = (
        ("width_catalogue", "catalogue's errors", BLUE, "o", -0.08),
        ("width_fitted", "predicted half-width", GREEN, "s", 0.08),
    )
    for key, label, colour, marker, shift in kinds:
        width = [_value(s["heldout"].get(key)) for s in scores]
        ax.plot(place + shift, width, marker, color=colour, ms=5.5, label=label)
    ax.axhline(1.0, color=GREY, lw=0.8)
    ax.set_ylabel(r"width of held-out residuals [$\sigma$]")
    low, high = ax.get_ylim()
    low = min(low, 0.8)
    # the legend takes the upper quarter
    ax.set_ylim(low, low + max(high - low, 0.36) / 0.73)
    ax.legend(loc="upper right", title=r"in units of", title_fontsize=8)


def _draw_correlation(
    ax: Axes, place: np.ndarray, known: Sequence[Mapping], lines: Sequence[Line]
) -> None:
    for x, recovery, line in zip(place, known, lines, strict=True):
        ax.plot(x, _value(recovery["correlation"]), line.marker, color=line.colour, ms=5.5)
        truncated = _value(recovery.get("correlation_ceiling"))
        ax.plot([x - 0.3, x + 0.3], [truncated, truncated], color=BLACK, lw=1.1)
    ax.plot([], [], color=BLACK, lw=1.1, label=TRUNCATED_TRUTH)
    ax.set_ylabel(r"correlation of $\ln\rho$ with the truth")
    low = ax.get_ylim()[0]
    ax.set_ylim(low - 0.12 * (1 - low), 1.005)
    ax.legend(loc="lower right")
