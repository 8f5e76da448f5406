"""Observed against predicted extinctions: over the sky, with distance and with class."""

from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from dust3d.plots.layout import Grid, colour_bar
from dust3d.plots.skymaps import (
    draw_sky,
    healpix_means,
    healpix_on_cells,
    sky_cells,
    wrap,
)
from dust3d.plots.style import (
    BLACK,
    BLUE,
    DIFFERENCE_MAP,
    GREY,
    VERMILION,
    difference_norm,
    fit_label,
    styled,
)

_RESIDUAL = r"observed $-$ predicted $A_V$ [mag]"
_MOST_CLASSES = 12


@dataclass(frozen=True)
class Predictions:
    """Stars with what was observed and what a fit predicts, arrays of one length.

    l_deg, b_deg [deg], distance_kpc [kpc], classes (text, "" if unknown), observed_mag,
    predicted_mag (with the class's zero point), sigma_mag (half-width of the central 68 % of the
    predictive distribution), heldout (bool).
    """

    l_deg: np.ndarray
    b_deg: np.ndarray
    distance_kpc: np.ndarray
    classes: np.ndarray
    observed_mag: np.ndarray
    predicted_mag: np.ndarray
    sigma_mag: np.ndarray
    heldout: np.ndarray

    @property
    def residual_mag(self) -> np.ndarray:
        """Observed minus predicted extinction [mag]."""
        return self.observed_mag - self.predicted_mag

    @property
    def sets(self) -> tuple[tuple[str, np.ndarray, str, str], ...]:
        """Label, mask, colour and marker of the stars that were fitted and those held out."""
        held = np.asarray(self.heldout, dtype=bool)
        return (("train", ~held, BLUE, "o"), ("held out", held, VERMILION, "s"))


@dataclass(frozen=True)
class Binned:
    """Median of values in bins, its standard error, and the 16th and 84th percentiles."""

    middle: np.ndarray
    median: np.ndarray
    error: np.ndarray
    low: np.ndarray
    high: np.ndarray


def binned(x: np.ndarray, values: np.ndarray, bins: int, least: int = 5) -> Binned:
    """Percentiles of values in bins of x with equal numbers of stars; NaN are left out."""
    good = np.isfinite(x) & np.isfinite(values)
    x, values = x[good], values[good]
    order = np.argsort(x, kind="stable")
    groups = [g for g in np.array_split(order, max(1, min(bins, x.size // least))) if g.size]
    rows = [(np.median(x[g]), *np.percentile(values[g], [50, 16, 84]), g.size) for g in groups]
    if not rows:
        return Binned(*(np.empty(0) for _ in range(5)))
    middle, median, low, high, number = np.array(rows).T
    # standard error of a median of Gaussian values
    return Binned(middle, median, 1.2533 * (high - low) / 2 / np.sqrt(number), low, high)


@styled
def residual_figure(name: str, stars: Predictions, *, colours: str = "viridis") -> Figure:
    """Observed against predicted extinction, and residuals by size, distance, class and sky.

    Parameters
    ----------
    name
        Name of the fit.
    stars
        Train and held-out stars.
    colours
        Colour map of the numbers of stars.
    """
    grid = Grid(
        [3.1, 3.1],
        [2.9, 2.5],
        left=0.8,
        right=0.2,
        top=0.35,
        bottom=3.75,
        gap_x=1.25,
        gap_y=0.6,
    )
    _draw_against(grid, grid.axes[0, 0], stars, colours)
    _draw_pulls(grid.axes[0, 1], stars)
    _draw_distance(grid.axes[1, 0], stars)
    _draw_classes(grid.axes[1, 1], stars)
    grid.axes[0, 0].set_title(f"{fit_label(name)}: held-out stars")
    if np.ptp(np.nan_to_num(stars.b_deg)) < 1e-6:
        _draw_longitude(grid.add(0.8, 0.5, 7.45, 2.4), stars)
    else:
        ax = grid.add(1.15, 0.35, 5.4, 2.7, projection="mollweide")
        norm = _draw_sky(ax, stars)
        bar = grid.add(6.75, 0.5, 0.12, 2.4)
        colour_bar(bar, norm, DIFFERENCE_MAP, "mean of " + _RESIDUAL)
    return grid.figure


def _draw_against(grid: Grid, ax: Axes, stars: Predictions, colours: str) -> None:
    held = np.asarray(stars.heldout, dtype=bool)
    held = held if held.any() else np.ones_like(held)
    good = held & np.isfinite(stars.observed_mag) & np.isfinite(stars.predicted_mag)
    observed, predicted = stars.observed_mag[good], stars.predicted_mag[good]
    both = np.concatenate([observed, predicted]) if observed.size else np.array([0.0, 1.0])
    low, high = np.percentile(both, [0.2, 99.6])
    pad = 0.05 * (high - low) + 1e-6
    limits = (low - pad, high + pad)
    bins = int(np.clip(np.sqrt(observed.size), 20, 60))
    counts, *_ = np.histogram2d(predicted, observed, bins, [limits, limits])
    norm = LogNorm(0.9, max(counts.max(), 3.0))
    ax.imshow(
        np.ma.masked_equal(counts.T, 0),
        origin="lower",
        extent=(*limits, *limits),
        norm=norm,
        cmap=matplotlib.colormaps[colours],
        aspect="equal",
    )
    ax.plot(limits, limits, color=VERMILION, lw=1.0)
    ax.set(
        xlim=limits, ylim=limits, xlabel=r"predicted $A_V$ [mag]", ylabel=r"observed $A_V$ [mag]"
    )
    ax.locator_params(nbins=6)
    grid.bar((0, 0), norm, colours, "stars", column=0, gap=0.06, width=0.09, extend="neither")


def _draw_pulls(ax: Axes, stars: Predictions) -> None:
    pulls = stars.residual_mag / stars.sigma_mag
    bins = np.linspace(-5, 5, 41)
    middle = (bins[1:] + bins[:-1]) / 2
    for label, chosen, colour, _ in stars.sets:
        seen = pulls[chosen & np.isfinite(pulls)]
        if seen.size == 0:
            continue
        share = np.histogram(seen, bins)[0] / seen.size / np.diff(bins)
        low, high = np.percentile(seen, [15.87, 84.13])
        ax.stairs(share, bins, color=colour, lw=1.3, label=f"{label}: width {(high - low) / 2:.2f}")
    ax.plot(
        middle,
        np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi),
        color=BLACK,
        lw=0.9,
        ls="--",
        label="unit Gaussian",
    )
    ax.set(
        yscale="log",
        xlim=(-5, 5),
        ylim=(2e-4, 4),
        xlabel=r"(observed $-$ predicted) / predicted half-width (68 %)",
        ylabel="share of stars per unit",
    )
    ax.legend(loc="upper center", ncols=1)


def _draw_medians(ax: Axes, rows: Binned, colour: str, marker: str, label: str) -> None:
    ax.errorbar(
        rows.middle,
        rows.median,
        rows.error,
        fmt=marker,
        ms=3.5,
        color=colour,
        lw=1.0,
        label=label,
    )


def _draw_distance(ax: Axes, stars: Predictions) -> None:
    spans = []
    for label, chosen, colour, marker in stars.sets:
        number = int(np.clip(chosen.sum() // 60, 4, 14))
        rows = binned(stars.distance_kpc[chosen], stars.residual_mag[chosen], number)
        if rows.middle.size == 0:
            continue
        if label == "train":
            ax.fill_between(
                rows.middle,
                rows.low,
                rows.high,
                color=colour,
                alpha=0.15,
                lw=0,
                label="16 to 84 % (train)",
            )
        _draw_medians(ax, rows, colour, marker, label)
        spans += [rows.low, rows.high]
    ax.axhline(0, color=GREY, lw=0.8)
    if spans:
        reach = 1.25 * np.abs(np.concatenate(spans)).max()
        ax.set_ylim(-reach, reach)
    ax.set_xlim(left=0)
    ax.set(xlabel="distance [kpc]", ylabel=_RESIDUAL)
    ax.legend(loc="upper left", ncols=3, columnspacing=0.9, handletextpad=0.4, fontsize=7)


def _draw_classes(ax: Axes, stars: Predictions) -> None:
    classes = np.asarray(stars.classes).astype(str)
    names, counts = np.unique(classes, return_counts=True)
    names = sorted(names[np.argsort(-counts)][:_MOST_CLASSES], key=_temperature_order)
    spans = []
    for label, chosen, colour, marker in stars.sets:
        shift = -0.12 if label == "train" else 0.12
        for i, name in enumerate(names):
            values = stars.residual_mag[chosen & (classes == name)]
            values = values[np.isfinite(values)]
            if values.size < 5:
                continue
            low, median, high = np.percentile(values, [16, 50, 84])
            error = 1.2533 * (high - low) / 2 / np.sqrt(values.size)
            ax.plot(
                [i + shift] * 2,
                [low, high],
                color=colour,
                lw=4.5,
                alpha=0.22,
                solid_capstyle="butt",
            )
            ax.errorbar(i + shift, median, error, fmt=marker, ms=3.5, color=colour, lw=1.0)
            spans += [low, high]
    ax.axhline(0, color=GREY, lw=0.8)
    if spans:
        reach = 1.25 * np.abs(spans).max()
        ax.set_ylim(-reach, reach)
    shown = [name if name else "none" for name in names]
    long = max((len(name) for name in shown), default=1) * len(shown) > 34
    ax.set_xticks(range(len(names)), shown, rotation=60 if long else 0, fontsize=7.5)
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set(xlabel="class", ylabel=_RESIDUAL)


def _temperature_order(name: str) -> tuple[int, str]:
    """Spectral classes from hot to cool; other names after them, by the alphabet."""
    place = "OBAFGKM".find(name[0]) if name else -1
    return (place if place >= 0 else 7, name)


def _draw_sky(ax: Axes, stars: Predictions):
    good = np.isfinite(stars.residual_mag)
    nside = next((n for n in (16, 8, 4, 2) if good.sum() / (12 * n * n) >= 15), 1)
    pixels = healpix_means(stars.l_deg, stars.b_deg, stars.residual_mag, nside, least=3)
    l_edges, b_edges = sky_cells(1.0)
    norm = difference_norm(pixels, percentile=98.0)
    draw_sky(
        ax,
        l_edges,
        b_edges,
        healpix_on_cells(pixels, nside, l_edges, b_edges),
        norm,
        matplotlib.colormaps[DIFFERENCE_MAP],
    )
    ax.set_title(f"all stars, Galactic coordinates (HEALPix, nside {nside})", fontsize=9)
    return norm


def _draw_longitude(ax: Axes, stars: Predictions) -> None:
    """A 2-D sky is a ring: medians in bins of longitude."""
    longitude = wrap(stars.l_deg)
    for label, chosen, colour, marker in stars.sets:
        number = int(np.clip(chosen.sum() // 60, 4, 36))
        rows = binned(longitude[chosen], stars.residual_mag[chosen], number)
        _draw_medians(ax, rows, colour, marker, label)
    ax.axhline(0, color=GREY, lw=0.8)
    ax.set(xlim=(180, -180), xlabel="Galactic longitude [deg]", ylabel=_RESIDUAL)
    ax.set_xticks([120, 60, 0, -60, -120], ["120", "60", "0", "300", "240"])
    ax.legend(loc="upper right", ncols=2)
