"""How well extinction is known over the sky: mean and standard deviation to given distances."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from dust3d.plots.layout import Grid
from dust3d.plots.planes import Mark
from dust3d.plots.sky import draw_ring, name_marks, ring_extinction, sky_extinction
from dust3d.plots.skymaps import draw_sky, middles, sky_cells
from dust3d.plots.style import (
    DIFFERENCE_MAP,
    EXTINCTION,
    extinction_norm,
    fit_label,
    styled,
)
from dust3d.plots.uncertainty import DEVIATION, DEVIATIONS

_SPREAD = r"std of $A_V$ [mag]"


@styled
def sky_spread_figure(
    name: str,
    fit: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    distances_kpc: Sequence[float],
    marks: Sequence[Mark] = (),
    colours: str = "viridis",
) -> Figure:
    """Sky maps of A_V, of its standard deviation and, for mocks, of what the mean is off by.

    A 2-D map is drawn against longitude and distance.

    Parameters
    ----------
    name
        Name of the fit.
    fit
        Map with `extinction` and `extinction_std` [mag] on dims (x, y, z) [kpc].
    truth
        The true map, of a mock.
    distances_kpc
        Distances to which sightlines run; where a face of the map is nearer, they end there.
    marks
        Named directions.
    colours
        Colour map of extinction and standard deviation.
    """
    if fit.sizes["z"] == 1:
        return _ring(name, fit, truth, max(distances_kpc), colours)
    l_edges, b_edges = sky_cells(1.0)
    longitude, latitude = np.meshgrid(middles(l_edges), middles(b_edges), indexing="ij")
    columns = 2 if truth is None else 3
    width = {2: 3.7, 3: 2.15}[columns]
    grid = Grid(
        [width] * columns,
        [width / 2] * len(distances_kpc),
        left=0.5,
        right=0.95,
        top=0.45,
        bottom=0.15,
        gap_x=1.15,
        gap_y=0.45,
        projection="mollweide",
    )
    for row, distance in enumerate(distances_kpc):

        def seen(dataset: xr.Dataset, variable: str, to: float = distance) -> np.ndarray:
            return sky_extinction(dataset, longitude, latitude, to, variable)

        panels = _panels(seen, fit, truth)
        titles = [f"{fit_label(name)}, to {1000 * distance:.0f} pc", "standard deviation"]
        for column, (values, norm, label) in enumerate(panels):
            ax, table = grid.axes[row, column], _table(norm, colours)
            draw_sky(ax, l_edges, b_edges, values, norm, table, labels=columns == 2)
            ax.set_title([*titles, "deviation"][column], fontsize=9)
            bar = grid.bar((row, row), norm, table, label, column=column, extend=_ends(norm))
            bar.ax.locator_params(nbins=5)
            if column == 0:
                name_marks(ax, marks)
    return grid.figure


def _panels(seen, fit: xr.Dataset, truth: xr.Dataset | None):
    """Values, scale and label of each panel; `seen` gives a variable of a map over the sky."""
    mean, std = seen(fit, "extinction"), seen(fit, "extinction_std")
    panels = [(mean, extinction_norm(mean), EXTINCTION), (std, extinction_norm(std), _SPREAD)]
    if truth is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            away = (mean - seen(truth, "extinction")) / std
        panels.append((away, DEVIATIONS, DEVIATION))
    return panels


def _table(norm: Normalize, colours: str) -> Colormap:
    return matplotlib.colormaps[DIFFERENCE_MAP if norm is DEVIATIONS else colours]


def _ends(norm: Normalize) -> str:
    return "both" if norm is DEVIATIONS else "max"


def _ring(
    name: str, fit: xr.Dataset, truth: xr.Dataset | None, reach_kpc: float, colours: str
) -> Figure:
    def seen(dataset: xr.Dataset, variable: str) -> np.ndarray:
        return ring_extinction(dataset, reach_kpc, variable)

    panels = _panels(seen, fit, truth)
    grid = Grid([2.2] * len(panels), [2.2], right=0.95, gap_x=0.98)
    for column, (values, norm, label) in enumerate(panels):
        ax, table = grid.axes[0, column], _table(norm, colours)
        draw_ring(ax, values, reach_kpc, norm, table, left=column == 0)
        ax.set_title([fit_label(name), "standard deviation", "deviation"][column])
        grid.bar((0, 0), norm, table, label, column=column, extend=_ends(norm))
    return grid.figure
