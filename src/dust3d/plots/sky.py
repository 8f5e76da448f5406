"""Extinction to given distances over the sky, in Galactic coordinates."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from scipy.ndimage import map_coordinates

from dust3d.coords import directions
from dust3d.plots.layout import Grid
from dust3d.plots.planes import Mark, edges, place_names
from dust3d.plots.skymaps import draw_sky, middles, project, sky_cells
from dust3d.plots.style import (
    DIFFERENCE_MAP,
    EXTINCTION,
    NO_DATA,
    difference_norm,
    extinction_norm,
    fit_label,
    styled,
)

_CHANGE = r"$A_\mathrm{fit} - A_\mathrm{true}$ [mag]"


def sky_extinction(
    grid: xr.Dataset,
    l_deg: np.ndarray,
    b_deg: np.ndarray,
    distance_kpc: float,
    variable: str = "extinction",
) -> np.ndarray:
    """Extinction [mag] from the Sun to a distance, or to the face of the map if that is nearer.

    Parameters
    ----------
    grid
        Map with `extinction` [mag] on dims (x, y, z) [kpc], around the Sun.
    l_deg, b_deg
        Galactic coordinates of any common shape.
    distance_kpc
        Length of the sightlines.
    variable
        Of the map: `extinction`, or `extinction_std`.

    Returns
    -------
    The shape of the coordinates. Linear between cell centres.
    """
    towards = directions(l_deg, b_deg)
    used = [i for i, axis in enumerate(("x", "y", "z")) if grid.sizes[axis] > 1]
    centres = [grid["xyz"[i]].values for i in used]
    faces = np.array([min(-edges(c)[0], edges(c)[-1]) for c in centres])
    with np.errstate(divide="ignore"):
        exits = (faces / np.abs(towards[..., used])).min(axis=-1)
    points = towards * np.minimum(distance_kpc, exits)[..., None]
    places = [(points[..., i] - c[0]) / (c[1] - c[0]) for i, c in zip(used, centres, strict=True)]
    values = np.asarray(grid[variable].transpose("x", "y", "z").values, dtype=float)
    values = values.reshape([c.size for c in centres])
    return map_coordinates(values, places, order=1, mode="nearest")


@styled
def sky_figure(
    name: str,
    fit: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    distances_kpc: Sequence[float],
    marks: Sequence[Mark] = (),
    colours: str = "viridis",
) -> Figure:
    """Sky maps of A_V to each distance, for mocks beside the truth and the difference.

    A 2-D map has no latitude: it is drawn as A_V against longitude and distance.

    Parameters
    ----------
    name
        Name of the fit.
    fit, truth
        Maps with `extinction` [mag] on dims (x, y, z) [kpc].
    distances_kpc
        Distances to which sightlines run; where a face of the map is nearer, they end there.
    marks
        Named directions.
    colours
        Colour map of the extinction.
    """
    if fit.sizes["z"] == 1:
        return _ring_figure(name, fit, truth, max(distances_kpc), colours)
    l_edges, b_edges = sky_cells(1.0)
    longitude, latitude = np.meshgrid(middles(l_edges), middles(b_edges), indexing="ij")
    titles = [fit_label(name)] if truth is None else ["truth", fit_label(name), "difference"]
    widths = [5.6] if truth is None else [2.5] * 3
    gaps_x: list[float] = [] if truth is None else [0.15, 1.12]
    heights = [widths[0] / 2] * len(distances_kpc)
    grid = Grid(
        widths,
        heights,
        left=0.55,
        right=0.85 if truth is None else 1.1,
        top=0.45,
        bottom=0.15,
        gap_x=gaps_x,
        gap_y=0.45,
        projection="mollweide",
    )
    for row, distance in enumerate(distances_kpc):
        found = sky_extinction(fit, longitude, latitude, distance)
        panels = [found]
        if truth is not None:
            known = sky_extinction(truth, longitude, latitude, distance)
            panels = [known, found, found - known]
        norm = extinction_norm(panels[0])
        for column, values in enumerate(panels):
            ax = grid.axes[row, column]
            change = column == 2
            scale = difference_norm(values) if change else norm
            table = matplotlib.colormaps[DIFFERENCE_MAP if change else colours]
            draw_sky(ax, l_edges, b_edges, values, scale, table, labels=truth is None)
            to = rf"to {1000 * distance:.0f} pc"
            ax.set_title(f"{titles[column]}, {to}" if not change else titles[column], fontsize=9)
            if column == 0:
                name_marks(ax, marks)
            if change:
                grid.bar((row, row), scale, DIFFERENCE_MAP, _CHANGE, column=2)
        last = 0 if truth is None else 1
        bar = grid.bar((row, row), norm, colours, EXTINCTION, column=last, extend="max")
        bar.ax.locator_params(nbins=5)
    return grid.figure


def name_marks(ax: Axes, marks: Sequence[Mark]) -> None:
    """Crosses at named directions on a panel of the sky, with their names."""
    if not marks:
        return
    x, y = project(np.array([m.l_deg for m in marks]), np.array([m.b_deg for m in marks]))
    ax.plot(x, y, "+", ms=5, mew=1.1, color="black", zorder=7)
    ax.plot(x, y, "+", ms=7, mew=2.6, color="white", zorder=6)
    place_names(
        ax,
        list(zip(x, y, strict=True)),
        [m.name for m in marks],
        fontsize=6.5,
        avoid=[(tick, 0.06) for tick in ax.get_xticks()],
    )


def ring_extinction(grid: xr.Dataset, reach_kpc: float, variable: str = "extinction") -> np.ndarray:
    """Extinction [mag] of a 2-D map in the cells of `ring_edges`, shape (l, distance)."""
    l_edges, d_edges = ring_edges(reach_kpc)
    zero = np.zeros(l_edges.size - 1)
    columns = [
        sky_extinction(grid, middles(l_edges), zero, float(d), variable) for d in middles(d_edges)
    ]
    return np.stack(columns, axis=-1)


def ring_edges(reach_kpc: float) -> tuple[np.ndarray, np.ndarray]:
    """Edges of cells of longitude [deg] and distance [kpc]."""
    return sky_cells(1.0)[0], np.linspace(0.0, reach_kpc, 101)


def draw_ring(
    ax: Axes,
    values: np.ndarray,
    reach_kpc: float,
    norm: Normalize,
    colours: str | Colormap,
    *,
    left: bool,
) -> None:
    """Draw values of shape (l, distance) of a 2-D sky; the distance is named on the left."""
    ax.set_facecolor(NO_DATA)
    ax.pcolormesh(
        *ring_edges(reach_kpc),
        np.ma.masked_invalid(values).T,
        norm=norm,
        cmap=colours,
        rasterized=True,
    )
    ax.set(xlim=(180, -180), xticks=[120, 60, 0, -60, -120])
    ax.set_xticklabels([str(value % 360) for value in (120, 60, 0, -60, -120)])
    ax.set_xlabel("Galactic longitude [deg]")
    if left:
        ax.set_ylabel("distance [kpc]")
    else:
        ax.tick_params(labelleft=False)


def _ring_figure(
    name: str, fit: xr.Dataset, truth: xr.Dataset | None, reach_kpc: float, colours: str
) -> Figure:
    found = ring_extinction(fit, reach_kpc)
    known = None if truth is None else ring_extinction(truth, reach_kpc)
    panels = [found] if known is None else [known, found, found - known]
    titles = [fit_label(name)] if known is None else ["truth", fit_label(name), "difference"]
    widths = [5.0] if known is None else [2.6] * 3
    grid = Grid(widths, [2.6], right=0.9, gap_x=[] if known is None else [0.12, 0.95])
    norm = extinction_norm(panels[0])
    for column, values in enumerate(panels):
        ax = grid.axes[0, column]
        change = column == 2
        scale = difference_norm(values) if change else norm
        table = DIFFERENCE_MAP if change else colours
        draw_ring(ax, values, reach_kpc, scale, table, left=column == 0)
        ax.set_title(titles[column])
        if change:
            grid.bar((0, 0), scale, DIFFERENCE_MAP, _CHANGE, column=2)
    grid.bar((0, 0), norm, colours, EXTINCTION, column=0 if known is None else 1, extend="max")
    return grid.figure
