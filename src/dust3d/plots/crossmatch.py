"""The cross-match: separations of the pairs, beside what chance would give."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from dust3d.plots.layout import Grid, PlainNumbers
from dust3d.plots.style import BLUE, GREY, PURPLE, SKY, VERMILION, styled


@styled
def crossmatch_figure(
    edges_arcsec: np.ndarray,
    counts: np.ndarray,
    *,
    radius_arcsec: float,
    ambiguous: np.ndarray | None = None,
    chance_pairs: float | None = None,
    facts: Mapping[str, str] | None = None,
) -> Figure:
    """Histogram of separations with the radius, the level of chance pairs and known numbers.

    Parameters
    ----------
    edges_arcsec, counts
        Histogram of the separations of accepted pairs after moving to one epoch.
    radius_arcsec
        Largest separation of a pair.
    ambiguous
        Counts of the pairs for which another candidate was about as near.
    chance_pairs
        Pairs that a shifted sky gives inside the radius; spread as the area, they are the level
        below which separations mean nothing.
    facts
        Short texts for the legend by name, such as completeness and purity.
    """
    edges = np.asarray(edges_arcsec, dtype=float)
    counts = np.asarray(counts, dtype=float)
    grid = Grid([5.6], [3.4], left=0.75)
    ax = grid.axes[0, 0]
    # logarithmic bins start with one that reaches to 0: it is drawn half an edge wide
    logarithmic = edges.size > 2 and not np.allclose(np.diff(edges), np.diff(edges)[0], rtol=0.01)
    if logarithmic and edges[0] == 0:
        edges = np.concatenate([[edges[1] / 2], edges[1:]])
    ax.stairs(counts, edges, fill=True, color=SKY, alpha=0.6)
    ax.stairs(counts, edges, color=BLUE, lw=1.1, label=f"{counts.sum():.0f} pairs")
    if ambiguous is not None:
        ax.stairs(
            ambiguous,
            edges,
            color=PURPLE,
            lw=1.2,
            label=f"{np.sum(ambiguous):.0f} of them ambiguous",
        )
    ax.axvline(
        radius_arcsec, color=VERMILION, ls="--", lw=1.2, label=f"radius {radius_arcsec:g} arcsec"
    )
    if chance_pairs is not None:
        area = np.clip(edges, 0, radius_arcsec) ** 2
        expected = chance_pairs * np.diff(area) / radius_arcsec**2
        label = f"chance: {chance_pairs:.3g} pairs"
        if expected.max(initial=0) > 0:
            ax.stairs(
                np.where(expected > 0, expected, np.nan),
                edges,
                color=GREY,
                lw=1.4,
                baseline=None,
                label=label,
            )
        else:
            ax.plot([], [], color=GREY, lw=1.4, label=label)
    for key, text in (facts or {}).items():
        ax.plot([], [], ls="none", label=f"{key}: {text}")
    ax.set(yscale="log", xlabel="separation at one epoch [arcsec]", ylabel="pairs per bin")
    ax.set_ylim(0.5, 8 * max(counts.max(initial=1), 1))
    if logarithmic:
        ax.set_xscale("log")
        ax.set_xlim(edges[0], max(edges[-1], 1.15 * radius_arcsec))
        ax.xaxis.set_major_formatter(PlainNumbers())
    else:
        ax.set_xlim(0, max(edges[-1], 1.05 * radius_arcsec))
    ax.yaxis.set_major_formatter(PlainNumbers())
    _legend_outside_of_data(ax)
    return grid.figure


def _legend_outside_of_data(ax) -> None:
    legend = ax.legend(loc="upper center", ncols=2, columnspacing=1.2, borderaxespad=0.6)
    rows = int(np.ceil(len(legend.get_texts()) / 2))
    # room above the highest bin for the legend, on the logarithmic axis
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** (0.07 * rows))
