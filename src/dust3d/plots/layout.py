"""Figures of panels whose sizes are set in inches, so that nothing overlaps and scales agree."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, LogLocator, MaxNLocator, NullFormatter

from dust3d.plots.style import norm_limits


class Grid:
    """Rows and columns of panels with margins in inches; `axes[row, column]`.

    Parameters
    ----------
    widths, heights
        Sizes of the columns (left to right) and rows (top to bottom) [inch].
    left, right, top, bottom
        Margins [inch].
    gap_x, gap_y
        Gaps between columns and rows [inch]; one number, or one for each gap.
    projection
        Of every panel, a matplotlib name.
    """

    def __init__(
        self,
        widths: Sequence[float],
        heights: Sequence[float],
        *,
        left: float = 0.6,
        right: float = 0.15,
        top: float = 0.3,
        bottom: float = 0.45,
        gap_x: float | Sequence[float] = 0.1,
        gap_y: float | Sequence[float] = 0.1,
        projection: str | None = None,
    ):
        gaps_x = np.broadcast_to(np.asarray(gap_x, float), (len(widths) - 1,))
        gaps_y = np.broadcast_to(np.asarray(gap_y, float), (len(heights) - 1,))
        self.width = left + sum(widths) + float(gaps_x.sum()) + right
        self.height = top + sum(heights) + float(gaps_y.sum()) + bottom
        self.figure = Figure(figsize=(self.width, self.height))
        self._x = left + np.concatenate([[0.0], np.cumsum(np.asarray(widths[:-1]) + gaps_x)])
        tops = top + np.concatenate([[0.0], np.cumsum(np.asarray(heights[:-1]) + gaps_y)])
        self._y = self.height - tops - np.asarray(heights)
        self._widths, self._heights = list(widths), list(heights)
        self.axes = np.empty((len(heights), len(widths)), dtype=object)
        for i in range(len(heights)):
            for j in range(len(widths)):
                self.axes[i, j] = self.add(
                    self._x[j], self._y[i], widths[j], heights[i], projection=projection
                )

    def add(
        self, x: float, y: float, width: float, height: float, projection: str | None = None
    ) -> Axes:
        """A panel at a place [inch from the lower left corner]."""
        box = (x / self.width, y / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(box, projection=projection)

    def bar(
        self,
        rows: tuple[int, int],
        norm: Normalize,
        colours: str | Colormap,
        label: str,
        *,
        gap: float = 0.08,
        width: float = 0.12,
        column: int = -1,
        extend: str = "both",
    ) -> Colorbar:
        """A colour bar to the right of a column, from the first to the last of `rows`."""
        first, last = rows
        x = self._x[column] + self._widths[column] + gap
        y = self._y[last]
        height = self._y[first] + self._heights[first] - y
        return colour_bar(self.add(x, y, width, height), norm, colours, label, extend=extend)


def colour_bar(
    ax: Axes,
    norm: Normalize,
    colours: str | Colormap,
    label: str,
    *,
    orientation: str = "vertical",
    extend: str = "both",
) -> Colorbar:
    """A colour bar that fills `ax`, with plain numbers on logarithmic scales."""
    bar = root_figure(ax).colorbar(
        ScalarMappable(norm, colours),
        cax=ax,
        orientation=orientation,
        extend=extend,
        extendfrac=0.03,
    )
    bar.set_label(label)
    if isinstance(norm, LogNorm):
        low, high = norm_limits(norm)
        decades = np.log10(high / low)
        subs = (1.0, 2.0, 5.0) if decades < 2.2 else (1.0, 3.0) if decades < 3.2 else (1.0,)
        axis = bar.ax.yaxis if orientation == "vertical" else bar.ax.xaxis
        axis.set_major_locator(LogLocator(subs=subs))
        axis.set_major_formatter(PlainNumbers())
        axis.set_minor_formatter(NullFormatter())
    bar.ax.tick_params(direction="out", which="both", length=2.5)
    bar.outline.set_linewidth(0.6)
    return bar


def root_figure(ax: Axes) -> Figure:
    """The figure that holds a panel."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("the panel belongs to no figure")
    return figure


class PlainNumbers(LogFormatter):
    """0.02, 0.5, 10 instead of powers of ten; powers again where numbers grow long."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Text of a tick."""
        if x <= 0:
            return ""
        if 1e-3 <= x < 1e5:
            return f"{x:g}"
        exponent = int(np.floor(np.log10(x) + 1e-9))
        factor = x / 10.0**exponent
        head = "" if np.isclose(factor, 1) else rf"{factor:.2g}\times"
        return rf"${head}10^{{{exponent}}}$"


def inner_ticks(low: float, high: float, number: int) -> np.ndarray:
    """Ticks that keep off the ends, where they would meet those of the next panel."""
    ticks = np.asarray(MaxNLocator(number).tick_values(low, high))
    margin = 0.04 * (high - low)
    return ticks[(ticks > low + margin) & (ticks < high - margin)]


def number_log_axis(axis: Axis) -> None:
    """Plain numbers at powers of ten, and at 2 and 5 in between where there is room."""
    low, high = sorted(float(end) for end in axis.get_view_interval())
    leading = (2, 5) if high < 100 * low else (3,) if high < 1000 * low else ()

    def between(x: float, _: Any) -> str:
        first = round(x / 10.0 ** np.floor(np.log10(x) + 1e-9))
        return f"{x:g}" if first in leading else ""

    axis.set_major_formatter(PlainNumbers())
    axis.set_minor_formatter(between)
