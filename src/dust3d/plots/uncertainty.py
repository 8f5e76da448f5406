"""How well ln rho is known in a plane: its mean, its spread, and samples of the posterior."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from dust3d.conventions import DENSITY_UNIT
from dust3d.plots.layout import Grid, colour_bar, inner_ticks
from dust3d.plots.planes import Mark, crop, draw_marks
from dust3d.plots.style import DIFFERENCE_MAP, fit_label, norm_limits, styled
from dust3d.plots.tableau import PAGE_WIDTH, Panel, Plane, Scale, draw_note, draw_panel

LN_DENSITY = rf"$\ln\,\rho$ [$\rho$ in {DENSITY_UNIT}]"
DEVIATION = "(mean \N{MINUS SIGN} truth) / std"
DEVIATIONS = Normalize(-3.0, 3.0)
_LEFT, _RIGHT, _GAP = 0.62, 0.95, 0.12
_BAR_BELOW = 0.62


def nearest_layer(grid: xr.Dataset, height_kpc: float) -> int:
    """Number of the layer of cells whose centres are nearest to a height."""
    return int(np.abs(grid["z"].values - height_kpc).argmin())


@styled
def uncertainty_figure(
    name: str,
    fit: xr.Dataset,
    samples: np.ndarray,
    truth: xr.Dataset | None = None,
    *,
    height_kpc: float = 0.0,
    marks: Sequence[Mark] = (),
    reach_kpc: float | None = None,
    used_kpc: Sequence[float] | None = None,
    colours: str = "viridis",
) -> Figure:
    """Mean and samples of ln rho in a layer of the map; below, stars, spread and gain.

    Parameters
    ----------
    name
        Name of the fit.
    fit
        Map with `ln_density`, `ln_density_std`, `ln_density_std_resolved` and `info`, and
        `n_stars` if known, on dims (x, y, z) [kpc].
    samples
        ln rho of some samples at the cells' centres of that layer, shape (samples, x, y).
    truth
        The true map on the same grid, for mocks: drawn beside the mean, and what the mean is off
        by in units of the total standard deviation.
    height_kpc
        The layer nearest to this height is drawn.
    marks
        Named directions.
    reach_kpc
        Distance of the farthest stars, drawn as a circle; the map is cropped around it.
    used_kpc
        Half-widths of the part of the box that holds stars, drawn as a rectangle.
    colours
        Colour map of ln rho and of what is not signed.
    """
    layer = nearest_layer(fit, height_kpc)
    flat, z = fit.sizes["z"] == 1, float(fit["z"].values[layer])
    fit = fit.assign(sampled=(("sample", "x", "y"), samples))
    if "n_stars" in fit:
        fit = fit.assign(stars_of_column=fit["n_stars"].sum("z"))
    fit = crop(fit.isel(z=[layer]), reach_kpc)
    true = None if truth is None else _layer(crop(truth.isel(z=[layer]), reach_kpc), "ln_density")
    plane = Plane(
        ("x", "y"),
        fit["x"].values,
        fit["y"].values,
        "" if flat else rf"$z = {1000 * z:.0f}$ pc",
        None if reach_kpc is None else float(np.sqrt(max(0.0, reach_kpc**2 - z**2))),
        tuple(marks),
        None if used_kpc is None else (used_kpc[0], used_kpc[1]),
    )
    upper, lower = _upper(name, fit, true, plane, colours), _lower(fit, true, plane, colours)
    # the stars stand below the truth
    return _drawn(upper, lower if true is None else [*lower[-1:], *lower[:-1]])


def _layer(layer: xr.Dataset, variable: str) -> np.ndarray:
    """Values of a map of one layer, shape (x, y)."""
    values = layer[variable].transpose("x", "y", "z").values
    return np.asarray(values[:, :, 0], dtype=float)


def _upper(
    name: str, fit: xr.Dataset, true: np.ndarray | None, plane: Plane, colours: str
) -> list[Panel]:
    sampled = np.asarray(fit["sampled"].transpose("sample", "x", "y").values, dtype=float)
    shown = [_layer(fit, "ln_density"), *sampled]
    titles = [f"{fit_label(name)}: mean", *["a sample", "another sample"][: len(sampled)]]
    if true is not None:
        shown, titles = [true, *shown], ["truth", *titles]
    seen = np.concatenate([plane.where_stars_are(values).ravel() for values in shown])
    low, high = np.nanpercentile(seen, [0.5, 99.5])
    pad = 0.0 if high > low else 0.5
    scale = Scale(Normalize(low - pad, high + pad), colours, LN_DENSITY)
    return [Panel(plane, v, scale, title) for v, title in zip(shown, titles, strict=True)]


def _lower(fit: xr.Dataset, true: np.ndarray | None, plane: Plane, colours: str) -> list[Panel]:
    std = _layer(fit, "ln_density_std_resolved")
    known = Scale(Normalize(0.0, 1.0), colours, "1 \N{MINUS SIGN} posterior / prior variance")
    largest = float(np.nanmax(plane.where_stars_are(std)))
    spread = Scale(Normalize(0.0, largest or 1.0), colours, r"std of $\ln\,\rho$")
    panels = [
        Panel(plane, std, spread, "standard deviation"),
        Panel(plane, _layer(fit, "info"), known, "gained from the stars"),
    ]
    if true is not None:
        away = (_layer(fit, "ln_density") - true) / _layer(fit, "ln_density_std")
        panels.append(Panel(plane, away, Scale(DEVIATIONS, DIFFERENCE_MAP, DEVIATION), "deviation"))
    if "stars_of_column" in fit:
        number = np.asarray(fit["stars_of_column"].transpose("x", "y").values, dtype=float)
        stars = Scale(LogNorm(0.9, max(3.0, number.max())), colours, "stars per column of cells")
        panels.append(Panel(plane, np.where(number > 0, number, np.nan), stars, "stars"))
    return panels


def _drawn(upper: Sequence[Panel], lower: Sequence[Panel]) -> Figure:
    columns = max(len(upper), len(lower))
    width = min(2.6, (PAGE_WIDTH - _LEFT - _RIGHT - _GAP * (columns - 1)) / columns)
    height = width * upper[0].plane.proportion
    grid = Grid(
        [width] * columns,
        [height, height],
        left=_LEFT,
        right=_RIGHT,
        top=0.32,
        bottom=_BAR_BELOW + 0.42,
        gap_x=_GAP,
        gap_y=0.34,
    )
    for i, row in enumerate((upper, lower)):
        for j, ax in enumerate(grid.axes[i]):
            if j >= len(row):
                ax.remove()
                continue
            draw_panel(ax, row[j], height, bottom=i == 1, left=j == 0)
            if i == 1:
                _bar_below(grid, ax, row[j].scale, width)
    first = grid.axes[0, 0]
    draw_note(first, upper[0].plane)
    draw_marks(first, *upper[0].plane.points(), *upper[0].plane.rays())
    scale = upper[0].scale
    grid.bar((0, 0), scale.norm, scale.colours, scale.label, column=len(upper) - 1)
    return grid.figure


def _ends(norm: Normalize) -> str:
    """Where values can pass the scale's ends."""
    if norm is DEVIATIONS:
        return "both"
    return "neither" if isinstance(norm, LogNorm) else "max"


def _bar_below(grid: Grid, ax: Axes, scale: Scale, width: float) -> None:
    box = ax.get_position()
    place = grid.add(box.x0 * grid.width, box.y0 * grid.height - _BAR_BELOW, width, 0.1)
    bar = colour_bar(
        place,
        scale.norm,
        scale.colours,
        scale.label,
        orientation="horizontal",
        extend=_ends(scale.norm),
    )
    if not isinstance(scale.norm, LogNorm):
        bar.ax.xaxis.set_ticks(inner_ticks(*norm_limits(scale.norm), 6))
    bar.ax.tick_params(labelsize=7)
    bar.ax.xaxis.label.set_size(8)
