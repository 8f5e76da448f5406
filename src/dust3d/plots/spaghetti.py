"""ln rho along rays: samples of the posterior, their mean and band, and what was known before."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dust3d.plots.layout import Grid, inner_ticks, number_log_axis
from dust3d.plots.style import (
    BLACK,
    BLUE,
    DENSITY,
    GREY,
    NO_DATA,
    TRUTH,
    VERMILION,
    fit_label,
    styled,
)

PERCENTILES = (16.0, 84.0)
"""Of the band; half of a Gaussian's central 68 % on either side of its median."""

_LINES = 12
_MOST_TICKS = 400


@dataclass(frozen=True)
class Ray:
    """ln rho, of rho in mag / kpc, at distances from the Sun.

    Parameters
    ----------
    name, l_deg, b_deg
        Where the ray goes.
    distances_kpc
        Shape (n,).
    samples
        ln rho of each sample, shape (samples, n).
    prior_mean, prior_std
        Of ln rho before any star was seen, by the fit's own modes: a number, shape (n,).
    beyond
        Prior variance of the modes finer than the fit's.
    truth
        True ln rho, of a mock, shape (n,).
    stars_kpc
        Distances of the stars near the ray.
    mark_kpc
        Published distance of what it goes to, if any.
    """

    name: str
    l_deg: float
    b_deg: float
    distances_kpc: np.ndarray
    samples: np.ndarray
    prior_mean: float
    prior_std: np.ndarray
    beyond: float = 0.0
    truth: np.ndarray | None = None
    stars_kpc: np.ndarray | None = None
    mark_kpc: float | None = None


def band(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The 16th and 84th percentile over samples (first axis); none if they are too few for these.

    n samples support percentiles from 100 / (n + 1) to 100 n / (n + 1).
    """
    if 100 / (len(samples) + 1) > PERCENTILES[0]:
        return None
    low, high = np.percentile(samples, PERCENTILES, axis=0, method="weibull")
    return low, high


@styled
def spaghetti_figure(name: str, rays: Sequence[Ray], *, within_kpc: float) -> Figure:
    """Density along rays: a dozen samples, the mean of ln rho and the 16-84 % band of all.

    Parameters
    ----------
    name
        Name of the fit.
    rays
        One panel each.
    within_kpc
        How near to a ray its stars are.
    """
    columns = 1 if len(rays) == 1 else 2 if len(rays) <= 4 else 3
    rows = -(-len(rays) // columns)
    width = {1: 6.0, 2: 4.3, 3: 2.95}[columns]
    grid = Grid(
        [width] * columns,
        [1.9] * rows,
        left=0.7,
        right=0.2,
        top=1.0,
        bottom=0.5,
        gap_x=0.2,
        gap_y=0.62,
    )
    limits = _limits(rays)
    for ax, ray in zip(grid.axes.ravel(), rays, strict=False):
        _draw(ax, ray, limits)
        if ax in grid.axes[:, 0]:
            ax.set_ylabel(DENSITY)
        else:
            ax.tick_params(labelleft=False, which="both")
    for i, ax in enumerate(grid.axes.ravel()):
        if i >= len(rays):
            ax.remove()
        elif i + columns >= len(rays):
            ax.set_xlabel("distance from the Sun [kpc]")
    _legend(grid, name, rays, within_kpc)
    return grid.figure


def _limits(rays: Sequence[Ray]) -> tuple[float, float]:
    """Densities that all panels show: those of samples and truths, not all of the prior."""
    known = [ray.samples.ravel() for ray in rays]
    known += [ray.truth for ray in rays if ray.truth is not None]
    low, high = np.percentile(np.concatenate(known), [0.3, 99.7])
    pad = 0.08 * (high - low) + 0.2
    # room for the ticks of the stars
    return float(np.exp(low - 1.5 * pad)), float(np.exp(high + pad))


def _draw(ax: Axes, ray: Ray, limits: tuple[float, float]) -> None:
    s = ray.distances_kpc
    before = np.exp(ray.prior_mean + np.outer([-1.0, 1.0], np.ones(s.size) * ray.prior_std))
    ax.fill_between(s, *before, color=NO_DATA, lw=0, alpha=0.7, label="prior")
    found = band(ray.samples)
    if found is not None:
        ax.fill_between(s, *np.exp(found), color=BLUE, lw=0, alpha=0.3, label="band")
    mean = ray.samples.mean(axis=0)
    if ray.beyond > 0 and len(ray.samples) > 1:
        total = np.sqrt(ray.samples.var(axis=0, ddof=1) + ray.beyond)
        for sign in (-1, 1):
            ax.plot(s, np.exp(mean + sign * total), color=BLUE, lw=0.8, ls=":", label="total")
    for sample in ray.samples[:_LINES]:
        ax.plot(s, np.exp(sample), color=BLUE, lw=0.5, alpha=0.45, label="sample")
    if ray.truth is not None:
        ax.plot(s, np.exp(ray.truth), color=TRUTH, lw=1.1, label="truth")
    ax.plot(s, np.exp(mean), color=VERMILION, lw=1.5, label="mean")
    if ray.mark_kpc is not None and ray.mark_kpc <= s[-1]:
        ax.axvline(ray.mark_kpc, color=BLACK, lw=1.0, ls=(0, (4, 2)), label="mark")
    ax.set_yscale("log")
    ax.set_ylim(*limits)
    ax.set_xlim(0, float(s[-1]))
    ax.set_xticks(inner_ticks(0.0, float(s[-1]), 5))
    number_log_axis(ax.yaxis)
    if ray.stars_kpc is not None:
        _draw_stars(ax, ray.stars_kpc)
    name = f"{ray.name}: " if ray.name else ""
    where = rf"$l={ray.l_deg % 360:g}\degree$, $b={ray.b_deg:g}\degree$"
    ax.set_title(name + where, fontsize=8.5)


def _draw_stars(ax: Axes, distances_kpc: np.ndarray) -> None:
    # evenly thinned where ticks would merge into a bar
    shown = np.sort(distances_kpc)[:: 1 + distances_kpc.size // _MOST_TICKS]
    ax.plot(
        shown,
        np.full(shown.size, 0.035),
        "|",
        transform=ax.get_xaxis_transform(),
        color=GREY,
        ms=5,
        mew=0.6,
        label="stars",
    )


def _legend(grid: Grid, name: str, rays: Sequence[Ray], within_kpc: float) -> None:
    """All signs once, above the panels."""
    low, high = PERCENTILES
    number = len(rays[0].samples)
    texts = {
        "mean": r"mean of $\ln\,\rho$",
        "band": f"{low:.0f} to {high:.0f} % of {number} samples",
        "sample": "some of them",
        "total": "mean and standard deviation, finer modes included",
        "prior": "prior, mean and standard deviation",
        "truth": "truth",
        "mark": "published distance",
        "stars": f"stars within {1000 * within_kpc:.0f} pc of the ray",
    }
    drawn = {}
    for ax in grid.axes.ravel():
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            drawn.setdefault(label, handle)
    shown = [key for key in texts if key in drawn]
    strip = grid.add(0.1, grid.height - 0.78, grid.width - 0.2, 0.5)
    strip.set(xticks=[], yticks=[])
    strip.set_axis_off()
    wide = 3 if grid.width > 8 else 2
    strip.legend(
        [drawn[key] for key in shown],
        [texts[key] for key in shown],
        loc="center",
        ncols=wide,
        columnspacing=1.4,
        fontsize=7.5,
    )
    strip.set_title(fit_label(name))
