"""Column densities: the dust seen from above (integral over z) and from the side (over y)."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dust3d.conventions import EXTINCTION_UNIT
from dust3d.plots.planes import Mark, crop, edges
from dust3d.plots.style import DENSITY, density_norm, fit_label, styled
from dust3d.plots.tableau import Plane, Scale, differences, panel_rows, tableau

_SEEN = {
    "z": rf"$\int\rho\,\mathrm{{d}}z$ [{EXTINCTION_UNIT}]",
    "y": rf"$\int\rho\,\mathrm{{d}}y$ [{EXTINCTION_UNIT}]",
}
_CHANGE = "ln (fit / truth)"


def column_density(grid: xr.Dataset, along: str, reach_kpc: float | None = None) -> np.ndarray:
    """Integral of the density along one axis of the map [mag].

    Parameters
    ----------
    grid
        Map with `density` [mag / kpc] on dims (x, y, z) [kpc].
    along
        Axis of the integral.
    reach_kpc
        Count dust within this distance of the Sun only; columns that never come so near are NaN.

    Returns
    -------
    Shape of the two other axes, in the order x, y, z. NaN where any cell that counts is NaN.
    """
    density = grid["density"].transpose("x", "y", "z")
    faces = edges(grid[along].values)
    cell = float(faces[1] - faces[0])
    if reach_kpc is None:
        return np.asarray(density.sum(along, skipna=False).values, dtype=float) * cell
    near = grid["x"] ** 2 + grid["y"] ** 2 + grid["z"] ** 2 < reach_kpc**2
    near = near.transpose("x", "y", "z")
    total = density.where(near, 0.0).sum(along, skipna=False)
    return np.asarray(total.where(near.any(along)).values, dtype=float) * cell


def _views(grid: xr.Dataset) -> list[str]:
    return ["z"] if grid.sizes["z"] == 1 else ["z", "y"]


def _seen(grid: xr.Dataset, along: str, reach_kpc: float | None) -> np.ndarray:
    if grid.sizes["z"] == 1:
        # a 2-D sky has no height: its density itself is the view from above
        return np.asarray(grid["density"].isel(z=0).transpose("x", "y").values, dtype=float)
    return column_density(grid, along, reach_kpc)


def _label(grid: xr.Dataset, along: str) -> str:
    return DENSITY if grid.sizes["z"] == 1 else _SEEN[along]


def _plane(
    grid: xr.Dataset,
    along: str,
    marks: Sequence[Mark],
    reach_kpc: float | None,
    used_kpc: Sequence[float] | None,
) -> Plane:
    axes = ("x", "y") if along == "z" else ("x", "z")
    shown = tuple(marks) if along == "z" else ()
    # columns beyond the reach are blank already; only a 2-D sky needs the circle
    reach = reach_kpc if grid.sizes["z"] == 1 else None
    used = None
    if used_kpc is not None:
        used = (used_kpc[0], used_kpc[1] if along == "z" else used_kpc[2])
    return Plane(axes, grid[axes[0]].values, grid[axes[1]].values, "", reach, shown, used)


@styled
def compare_columns(
    fits: Mapping[str, xr.Dataset],
    truth: xr.Dataset | None = None,
    *,
    marks: Sequence[Mark] = (),
    reach_kpc: float | None = None,
    used_kpc: Sequence[float] | None = None,
    colours: str = "viridis",
) -> Figure:
    """Column density from above and from the side, of each fit beside truth and difference.

    Parameters
    ----------
    fits
        Maps with `density` [mag / kpc] on dims (x, y, z) [kpc], by name of the fit.
    truth
        The true map on the same grid, for mocks.
    marks
        Named directions, drawn in the view from above.
    reach_kpc
        Count dust within this distance of the Sun only: that of the farthest stars.
    used_kpc
        Half-widths of the part of the box that holds stars, drawn as a rectangle. Differences
        outside of it do not stretch the colours.
    colours
        Colour map of the columns.
    """
    grids = [crop(fit, reach_kpc) for fit in fits.values()]
    true_grid = None if truth is None else crop(truth, reach_kpc)
    views = _views(grids[0])
    planes = [_plane(grids[0], along, marks, reach_kpc, used_kpc) for along in views]
    found = [[_seen(grid, along, reach_kpc) for grid in grids] for along in views]
    true = [] if true_grid is None else [_seen(true_grid, a, reach_kpc) for a in views]
    labels = [fit_label(name) for name in fits]
    scales = [
        Scale(density_norm(*([true[n]] if true else found[n])), colours, _label(grids[0], along))
        for n, along in enumerate(views)
    ]
    if not true:
        return tableau(panel_rows(planes, found, scales, labels), largest=4.2)
    ratios, change = differences(planes, found, true, _CHANGE)
    seen = [[t, *row] for t, row in zip(true, found, strict=True)]
    upper = panel_rows(planes, seen, scales, ["truth", *labels])
    if len(fits) == 1:
        right = panel_rows(planes, ratios, [change] * len(views), ["difference"])
        return tableau([a + b for a, b in zip(upper, right, strict=True)])
    lower = panel_rows(planes, ratios, [change] * len(views), [""] * len(fits))
    return tableau(upper + [[None, *row] for row in lower])


def fit_columns(
    name: str,
    fit: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    marks: Sequence[Mark] = (),
    reach_kpc: float | None = None,
    used_kpc: Sequence[float] | None = None,
    colours: str = "viridis",
) -> Figure:
    """`compare_columns` of one fit."""
    return compare_columns(
        {name: fit}, truth, marks=marks, reach_kpc=reach_kpc, used_kpc=used_kpc, colours=colours
    )
