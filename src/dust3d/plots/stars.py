"""The stars that light the dust from behind: where they are and what they show."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from dust3d.coords import directions
from dust3d.plots.layout import Grid
from dust3d.plots.planes import AXIS_LABELS, Mark, draw_marks, draw_sun, placed
from dust3d.plots.style import EXTINCTION, SKY, VERMILION, styled

_MOST_POINTS = 30_000


@dataclass(frozen=True)
class Stars:
    """Stars with an extinction, arrays of one length.

    l_deg, b_deg [deg], distance_kpc [kpc], extinction_mag [mag], heldout (bool).
    """

    l_deg: np.ndarray
    b_deg: np.ndarray
    distance_kpc: np.ndarray
    extinction_mag: np.ndarray
    heldout: np.ndarray

    @property
    def positions_kpc(self) -> np.ndarray:
        """Heliocentric Galactic Cartesian positions, shape (n, 3)."""
        return directions(self.l_deg, self.b_deg) * np.asarray(self.distance_kpc)[:, None]


@styled
def star_figure(stars: Stars, *, marks: Sequence[Mark] = (), colours: str = "viridis") -> Figure:
    """Stars seen from above and from the side, coloured by extinction; extinction with distance.

    Parameters
    ----------
    stars
        Stars used, train and held out.
    marks
        Named directions.
    colours
        Colour map of the extinctions.
    """
    positions = stars.positions_kpc
    extinction = np.asarray(stars.extinction_mag, dtype=float)
    finite = np.flatnonzero(np.isfinite(extinction) & np.isfinite(positions).all(axis=1))
    # an even choice where there are too many to draw, the reddest last, on top
    chosen = finite[:: max(1, finite.size // _MOST_POINTS)]
    chosen = chosen[np.argsort(extinction[chosen])]
    norm = _norm(extinction[chosen])
    reach = np.abs(positions[chosen]).max(axis=0, initial=1e-3) * 1.03
    reach[:2] = reach[:2].max()
    width = 4.0
    flat = reach[2] < 0.02 * reach[0]
    side = max(0.6, min(width, width * reach[2] / reach[0]))
    heights = [width] if flat else [width, side]
    grid = Grid([width], heights, left=0.7, right=5.45, gap_y=0.5, top=0.25)
    size = float(np.clip(9e3 / max(chosen.size, 1), 0.6, 9.0))
    for ax, axes in zip(grid.axes[:, 0], [(0, 1), (0, 2)][: len(heights)], strict=True):
        _scatter(ax, positions[chosen], extinction[chosen], axes, reach, norm, colours, size)
        if axes == (0, 1):
            known = placed(marks)
            draw_marks(ax, [(float(p[0]), float(p[1])) for _, p in known], [n for n, _ in known])
    grid.bar((0, 0), norm, colours, EXTINCTION)
    _against_distance(grid, stars, colours)
    return grid.figure


def _norm(extinction: np.ndarray) -> Normalize:
    if extinction.size == 0:
        return Normalize(0, 1)
    low, high = np.percentile(extinction, [2, 98])
    return Normalize(low, high if high > low else low + 1)


def _scatter(
    ax: Axes,
    positions: np.ndarray,
    extinction: np.ndarray,
    axes: tuple[int, int],
    reach: np.ndarray,
    norm: Normalize,
    colours: str,
    size: float,
) -> None:
    i, j = axes
    ax.scatter(
        positions[:, i],
        positions[:, j],
        c=extinction,
        s=size,
        lw=0,
        norm=norm,
        cmap=matplotlib.colormaps[colours],
        rasterized=True,
    )
    draw_sun(ax)
    ax.set(xlim=(-reach[i], reach[i]), ylim=(-reach[j], reach[j]))
    ax.set(xlabel=AXIS_LABELS["xyz"[i]], ylabel=AXIS_LABELS["xyz"[j]])
    ax.set_aspect("equal", adjustable="box")
    ax.locator_params(nbins=5)


def _against_distance(grid: Grid, stars: Stars, colours: str) -> None:
    left, bottom = grid.width - 4.05, 0.45
    top = grid.height - 0.25
    # in line with the panels at the left; one panel alone is shared by both
    boxes = [ax.get_position() for ax in grid.axes[:, 0]]
    gap = 0.5
    low = boxes[1].height * grid.height if len(boxes) > 1 else (top - bottom - gap) / 2
    low = min(max(low, 1.3), 2.2)
    counts_ax = grid.add(left, bottom, 3.2, low)
    dust_ax = grid.add(left, bottom + low + gap, 3.2, top - bottom - low - gap)
    held = np.asarray(stars.heldout, dtype=bool)
    distance = np.asarray(stars.distance_kpc, dtype=float)
    bins = np.linspace(0, float(np.nanmax(distance, initial=1e-3)), 41)
    train_label = f"train ({np.count_nonzero(~held)})"
    counts_ax.stairs(
        np.histogram(distance[~held], bins)[0],
        bins,
        fill=True,
        color=SKY,
        alpha=0.7,
        label=train_label,
    )
    counts_ax.stairs(
        np.histogram(distance[held], bins)[0],
        bins,
        color=VERMILION,
        lw=1.3,
        label=f"held out ({np.count_nonzero(held)})",
    )
    counts_ax.set(xlim=(0, bins[-1]), ylabel="stars", xlabel="distance [kpc]")
    counts_ax.set_ylim(top=1.35 * counts_ax.get_ylim()[1])
    counts_ax.legend(loc="upper left", ncols=2, columnspacing=1.0)
    extinction = np.asarray(stars.extinction_mag, dtype=float)
    good = np.isfinite(extinction) & np.isfinite(distance)
    low, high = np.percentile(extinction[good], [0.3, 99.5]) if good.any() else (0.0, 1.0)
    levels = np.linspace(low, high if high > low else low + 1, 46)
    counts, *_ = np.histogram2d(distance[good], extinction[good], [bins, levels])
    norm = LogNorm(0.9, max(counts.max(initial=0), 3.0))
    dust_ax.pcolormesh(
        bins, levels, np.ma.masked_equal(counts.T, 0), norm=norm, cmap=colours, rasterized=True
    )
    middle, median = _running_median(distance[good], extinction[good], bins)
    dust_ax.plot(middle, median, color=VERMILION, lw=1.4, label="median")
    dust_ax.set(xlim=(0, bins[-1]), xlabel="distance [kpc]", ylabel=EXTINCTION)
    dust_ax.legend(loc="upper left")
    box = dust_ax.get_position()
    bar_ax = grid.add(left + 3.26, box.y0 * grid.height, 0.1, box.height * grid.height)
    grid.figure.colorbar(
        matplotlib.cm.ScalarMappable(norm, colours),
        cax=bar_ax,
        label="stars",
        format="%g",
    )


def _running_median(
    distance: np.ndarray, extinction: np.ndarray, bins: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    place = np.digitize(distance, bins[::2]) - 1
    middle, median = [], []
    for i in range(bins[::2].size - 1):
        inside = place == i
        if inside.sum() >= 5:
            middle.append(np.median(distance[inside]))
            median.append(np.median(extinction[inside]))
    return np.array(middle), np.array(median)
