"""Whether held-out stars fall where they were expected: transforms, and coverage of intervals."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dust3d.plots.layout import Grid
from dust3d.plots.style import BLACK, BLUE, GREY, NO_DATA, VERMILION, fit_label, styled

# what of `coverage` has its row, and whether it counts informed cells alone
_ROWS = {
    "held-out\nmeasurements": ("heldout",),
    "true extinction": ("extinction",),
    "true column": ("column",),
    r"true $\ln\,\rho$, cut" + "\nto the fit's modes": ("ln_density", "informed"),
    r"true $\ln\,\rho$": ("ln_density_total", "informed"),
    "true density,\nsmoothed": ("smoothed_density", "informed"),
}
_LEVELS = {"68": BLACK, "95": VERMILION}
_SIGNIFICANT = 1.96


@styled
def pit_figure(name: str, calibration: Mapping[str, Any]) -> Figure:
    """Histogram of the transforms of held-out stars, and coverage found against nominal.

    Parameters
    ----------
    name
        Name of the fit.
    calibration
        Section `calibration` of `scores/{fit}.json`.
    """
    rows = covered(calibration["coverage"])
    panels = 3 if len(rows) > 1 else 2
    grid = Grid(
        [2.9, 2.6, 2.6][:panels],
        [2.6],
        left=0.7,
        right=0.25,
        top=0.45,
        bottom=0.5,
        gap_x=[0.8, 1.4][: panels - 1],
    )
    _draw_transforms(grid.axes[0, 0], calibration["pit"])
    grid.axes[0, 0].set_title(fit_label(name))
    _draw_curve(grid.axes[0, 1], calibration["pit"], calibration["coverage"]["heldout"])
    if panels == 3:
        _draw_rows(grid.axes[0, 2], rows)
    return grid.figure


def covered(coverage: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Coverage of each quantity that was judged, by the text of its row."""
    found = {}
    for text, keys in _ROWS.items():
        value: Any = coverage
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value and value["68"]["share"] is not None:
            found[text] = value
    return found


def coverage_curve(histogram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nominal shares of central intervals, and the shares of stars that they held.

    Parameters
    ----------
    histogram
        Share of stars in each of an even number of equal bins of the transform. A central
        interval of bins holds what falls into them.
    """
    half = len(histogram) // 2
    inwards = histogram[half:] + histogram[:half][::-1]
    found = np.concatenate([[0.0], np.cumsum(inwards)])
    return np.linspace(0, 1, half + 1), found


def _error(share: np.ndarray | float, pit: Mapping[str, Any]) -> np.ndarray:
    """Twice the standard error of a share, of as many stars as are independent."""
    number = pit["n_effective"] or pit["n"]
    return np.asarray(_SIGNIFICANT * np.sqrt(share * (1 - share) / number))


def _draw_transforms(ax: Axes, pit: Mapping[str, Any]) -> None:
    shares = np.asarray(pit["histogram"], dtype=float)
    edges, flat = np.linspace(0, 1, len(shares) + 1), 1 / len(shares)
    error = len(shares) * float(_error(flat, pit))
    ax.axhspan(max(0.0, 1 - error), 1 + error, color=NO_DATA, lw=0, label="expected, 95 %")
    ax.axhline(1, color=GREY, lw=0.8)
    ax.stairs(
        shares * len(shares), edges, color=BLUE, lw=1.4, baseline=None, label="held-out stars"
    )
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.45 * max(float((shares * len(shares)).max()), 1 + error))
    ax.set_xlabel("share of the prediction below the measured $A_V$")
    ax.set_ylabel("stars per bin / expected")
    ax.legend(loc="upper left")
    chance = "" if pit["p"] is None else rf"$p = {pit['p']:.2g}$"
    text = "\n".join([f"{pit['n']} stars", rf"KS ${pit['ks']:.3f}$", chance]).strip()
    ax.text(0.96, 0.965, text, transform=ax.transAxes, ha="right", va="top", fontsize=8)


def _draw_curve(ax: Axes, pit: Mapping[str, Any], heldout: Mapping[str, Any]) -> None:
    nominal, found = coverage_curve(np.asarray(pit["histogram"], dtype=float))
    fine = np.linspace(0, 1, 101)
    error = _error(fine, pit)
    ax.fill_between(fine, fine - error, fine + error, color=NO_DATA, lw=0, label="expected, 95 %")
    ax.plot([0, 1], [0, 1], color=GREY, lw=0.8)
    ax.plot(nominal, found, "o-", color=BLUE, ms=3, lw=1.2, label="held-out stars")
    for level, colour in _LEVELS.items():
        one = heldout[level]
        if one["share"] is None:
            continue
        label = rf"{level} %: ${100 * one['share']:.1f}$"
        if one["standard_error"] is not None:
            label += rf" $\pm$ ${100 * one['standard_error']:.1f}$"
        ax.errorbar(
            float(level) / 100,
            one["share"],
            one["standard_error"] or 0.0,
            fmt="D",
            ms=4.5,
            mfc="white",
            color=colour,
            capsize=2.5,
            label=label,
            zorder=5,
        )
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="central interval", ylabel="share of stars inside")
    ax.legend(loc="upper left", fontsize=7.5)


def _draw_rows(ax: Axes, rows: Mapping[str, Mapping[str, Any]]) -> None:
    shares = []
    for level, colour in _LEVELS.items():
        ax.axvline(float(level), color=colour, lw=0.8, ls=":")
        for place, one in enumerate(rows.values()):
            share, error = one[level]["share"], one[level]["standard_error"]
            bar = {"fmt": "o", "color": colour, "ms": 4, "capsize": 2.5, "lw": 1.1}
            ax.errorbar(100 * share, place, xerr=100 * (error or 0.0), **bar)
            shares.append(100 * share)
    ax.set_yticks(range(len(rows)), list(rows), fontsize=7.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlim(min(55.0, min(shares) - 5), 101)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("inside the 68 and 95 % intervals [%]")
    ax.set_title("coverage", fontsize=9)
