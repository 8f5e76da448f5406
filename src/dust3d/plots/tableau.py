"""Rows of map panels at true proportions: fits beside truth and differences, with colour bars."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from dust3d.plots.layout import Grid, inner_ticks
from dust3d.plots.planes import AXIS_LABELS, Mark, draw_marks, draw_plane, edges, placed
from dust3d.plots.style import DIFFERENCE_MAP, difference_norm, norm_limits

PAGE_WIDTH = 10.2
"""Width that a figure may take [inch]."""

_GAP = 0.12
_BAR_GAP = 0.98
_THIN = 0.85


@dataclass(frozen=True)
class Plane:
    """A plane through, or a projection of, the box: its two axes and what is marked on it.

    Stars lie within `reach_kpc` of the Sun, or within the half-widths `used_kpc`, if given.
    """

    axes: tuple[str, str]
    horizontal: np.ndarray
    vertical: np.ndarray
    note: str = ""
    reach_kpc: float | None = None
    marks: tuple[Mark, ...] = ()
    used_kpc: tuple[float, float] | None = None

    @property
    def proportion(self) -> float:
        """Height over width."""
        across, up = edges(self.horizontal), edges(self.vertical)
        return float((up[-1] - up[0]) / (across[-1] - across[0]))

    def where_stars_are(self, values: np.ndarray) -> np.ndarray:
        """Values on the plane, NaN where no star can be."""
        across, up = np.meshgrid(np.abs(self.horizontal), np.abs(self.vertical), indexing="ij")
        near = np.full(values.shape, True)
        if self.used_kpc is not None:
            near &= (across <= self.used_kpc[0]) & (up <= self.used_kpc[1])
        if self.reach_kpc is not None:
            near &= np.hypot(across, up) <= self.reach_kpc
        return np.where(near, values, np.nan)

    def rays(self) -> tuple[list[float], list[str]]:
        """Longitudes [deg] of the marks without a distance, and their names; seen from above."""
        far = [m for m in self.marks if m.distance_kpc is None] if self.axes == ("x", "y") else []
        return [m.l_deg for m in far], [m.name for m in far]

    def points(self) -> tuple[list[tuple[float, float]], list[str]]:
        """Places of the marks with a known distance, and their names."""
        i, j = ("xyz".index(axis) for axis in self.axes)
        known = placed(self.marks)
        return [(float(p[i]), float(p[j])) for _, p in known], [name for name, _ in known]


@dataclass(frozen=True)
class Scale:
    """Colours of some panels and what they mean; panels that share one share a colour bar."""

    norm: Normalize
    colours: str
    label: str


@dataclass(frozen=True)
class Panel:
    """Values of shape (horizontal, vertical) on a plane."""

    plane: Plane
    values: np.ndarray
    scale: Scale
    title: str = ""


Rows = Sequence[Sequence[Panel | None]]


def ln_ratio(fit: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """ln(fit / truth), NaN where either is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(fit / truth)
    return np.where(np.isfinite(ratio), ratio, np.nan)


def panel_rows(
    planes: Sequence[Plane],
    values: Sequence[Sequence[np.ndarray]],
    scales: Sequence[Scale],
    titles: Sequence[str],
) -> list[list[Panel | None]]:
    """Panels of each plane side by side, in the plane's scale, the first row with titles."""
    return [
        [
            Panel(plane, panel, scale, title if n == 0 else "")
            for panel, title in zip(row, titles, strict=True)
        ]
        for n, (plane, row, scale) in enumerate(zip(planes, values, scales, strict=True))
    ]


def differences(
    planes: Sequence[Plane],
    found: Sequence[Sequence[np.ndarray]],
    true: Sequence[np.ndarray],
    label: str,
) -> tuple[list[list[np.ndarray]], Scale]:
    """ln(fit / truth) of each fit on each plane, and the diverging colours that all share.

    The colours reach as far as the differences do where there are stars.
    """
    ratios = [[ln_ratio(v, t) for v in row] for row, t in zip(found, true, strict=True)]
    judged = [p.where_stars_are(v) for p, row in zip(planes, ratios, strict=True) for v in row]
    return ratios, Scale(difference_norm(*judged), DIFFERENCE_MAP, label)


def tableau(rows: Rows, *, largest: float = 3.1) -> Figure:
    """Draw rows of equally many panels; None leaves a place empty.

    Parameters
    ----------
    rows
        Panels from top to bottom and left to right; those of one row share their proportions.
        A colour bar stands at the right of neighbouring panels with one scale.
    largest
        Width of a panel at most [inch].
    """
    columns = len(rows[0])
    shared = [all(_same_scale(row[j], row[j + 1]) for row in rows) for j in range(columns - 1)]
    gaps_x = [_GAP if same else _BAR_GAP for same in shared]
    width = min(largest, (PAGE_WIDTH - 0.62 - _BAR_GAP - sum(gaps_x)) / columns)
    heights = [width * _first(row).plane.proportion for row in rows]
    titled = [any(p is not None and p.title for p in row) for row in rows]
    gaps_y = [0.34 if title else 0.16 for title in titled[1:]]
    grid = Grid(
        [width] * columns,
        heights,
        left=0.62,
        right=_BAR_GAP - 0.06,
        top=0.32 if titled[0] else 0.15,
        bottom=0.48,
        gap_x=gaps_x,
        gap_y=gaps_y,
    )
    for i, row in enumerate(rows):
        for j, panel in enumerate(row):
            ax = grid.axes[i, j]
            if panel is None:
                ax.remove()
                continue
            below = rows[i + 1][j] if i + 1 < len(rows) else None
            beside = row[j - 1] if j > 0 else None
            draw_panel(ax, panel, heights[i], bottom=below is None, left=beside is None)
            if beside is None or beside.plane is not panel.plane:
                draw_note(ax, panel.plane)
            if j == 0 or (beside is not None and beside.plane is not panel.plane):
                draw_marks(ax, *panel.plane.points(), *panel.plane.rays())
    _bars(grid, rows, shared, heights)
    return grid.figure


def _first(row: Sequence[Panel | None]) -> Panel:
    return next(panel for panel in row if panel is not None)


def _same_scale(left: Panel | None, right: Panel | None) -> bool:
    return left is None or right is None or left.scale is right.scale


def draw_panel(ax: Axes, panel: Panel, height: float, *, bottom: bool, left: bool) -> None:
    """A panel of a height [inch] on its axes; labels at the bottom and on the left if wanted."""
    plane = panel.plane
    draw_plane(
        ax,
        plane.horizontal,
        plane.vertical,
        panel.values,
        panel.scale.norm,
        matplotlib.colormaps[panel.scale.colours],
        reach_kpc=plane.reach_kpc,
        used_kpc=plane.used_kpc,
    )
    if panel.title:
        ax.set_title(panel.title)
    _label_axes(ax, plane, height, bottom=bottom, left=left)


def draw_note(ax: Axes, plane: Plane) -> None:
    """What the plane is, in a corner."""
    if plane.note:
        ax.text(
            0.03,
            0.97,
            plane.note,
            transform=ax.transAxes,
            va="top",
            fontsize=8,
            bbox={"fc": "white", "ec": "none", "alpha": 0.8, "pad": 1.5},
        )


def _label_axes(ax: Axes, plane: Plane, height: float, *, bottom: bool, left: bool) -> None:
    label_x, label_y = (AXIS_LABELS[name] for name in plane.axes)
    ax.set_xticks(inner_ticks(*ax.get_xlim(), 4))
    ax.set_yticks(inner_ticks(*ax.get_ylim(), 4 if height > _THIN else 3))
    if bottom:
        ax.set_xlabel(label_x)
    else:
        ax.tick_params(labelbottom=False)
    if left:
        ax.set_ylabel(label_y)
    else:
        ax.tick_params(labelleft=False)


def _bars(grid: Grid, rows: Rows, shared: Sequence[bool], heights: Sequence[float]) -> None:
    """One bar right of each block of columns, and along all rows, that share a scale."""
    ends = [j for j in range(len(shared) + 1) if j == len(shared) or not shared[j]]
    for column in ends:
        panels = [row[column] for row in rows]
        scales = [None if panel is None else panel.scale for panel in panels]
        start = 0
        for i, scale in enumerate(scales):
            if i + 1 < len(scales) and scales[i + 1] is scale:
                continue
            if scale is not None:
                thin = sum(heights[start : i + 1]) < _THIN
                label = scale.label.replace(" [", "\n[") if thin else scale.label
                bar = grid.bar((start, i), scale.norm, scale.colours, label, column=column)
                if thin:
                    bar.ax.yaxis.label.set_size(7.5)
                    _thin_ticks(bar, scale.norm)
            start = i + 1


def _thin_ticks(bar: Colorbar, norm: Normalize) -> None:
    low, high = norm_limits(norm)
    if not isinstance(norm, LogNorm):
        bar.ax.yaxis.set_ticks(inner_ticks(low, high, 3))
        return
    steps = (1.0, 3.0) if high < 15 * low else (1.0,)
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.log10(high) + 1)
    ticks = np.sort(np.concatenate([step * powers for step in steps]))
    ticks = ticks[(ticks >= low) & (ticks <= high)]
    if ticks.size == 0:
        ticks = np.array([float(f"{np.sqrt(low * high):.1g}")])
    bar.ax.yaxis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    bar.ax.yaxis.set_ticks([], minor=True)
