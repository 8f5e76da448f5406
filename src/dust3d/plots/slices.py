"""Slices of the density at given heights: each fit beside the truth and the difference."""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dust3d.errors import ConfigError
from dust3d.plots.planes import Mark, crop, edges
from dust3d.plots.style import (
    DENSITY,
    LN_DENSITY_DIFFERENCE,
    density_norm,
    fit_label,
    styled,
)
from dust3d.plots.tableau import Panel, Plane, Scale, differences, panel_rows, tableau


def slice_density(grid: xr.Dataset, height_kpc: float) -> np.ndarray:
    """Density [mag / kpc], shape (x, y), at a height: linear between the cells above and below.

    A 2-D map has one slice, whatever the height.

    Raises
    ------
    ConfigError
        If the height lies outside the map.
    """
    z = grid["z"].values
    density = grid["density"].transpose("x", "y", "z")
    if z.size == 1:
        return np.asarray(density.isel(z=0).values, dtype=float)
    faces = edges(z)
    if not faces[0] <= height_kpc <= faces[-1]:
        raise ConfigError(
            f"plots.slices_kpc: the height {height_kpc:g} kpc is outside the map, which spans "
            f"z = {faces[0]:g} to {faces[-1]:g} kpc; choose heights inside the box"
        )
    place = np.clip((height_kpc - z[0]) / (z[1] - z[0]), 0, z.size - 1)
    below = min(int(place), z.size - 2)
    weight = round(float(place - below), 9)
    low = np.asarray(density.isel(z=below).values, dtype=float)
    if weight == 0.0:
        return low
    high = np.asarray(density.isel(z=below + 1).values, dtype=float)
    return high if weight == 1.0 else (1 - weight) * low + weight * high


def _heights(grid: xr.Dataset, heights_kpc: Sequence[float]) -> list[float]:
    return [0.0] if grid.sizes["z"] == 1 else list(dict.fromkeys(heights_kpc))


def _slice_of(mark: Mark, heights: Sequence[float]) -> float | None:
    """The slice nearest to a mark; none if its distance is not known."""
    if mark.distance_kpc is None:
        return None
    z = mark.distance_kpc * float(np.sin(np.deg2rad(mark.b_deg)))
    return min(heights, key=lambda height: abs(height - z))


def _plane(
    grid: xr.Dataset,
    height: float,
    heights: Sequence[float],
    marks: Sequence[Mark],
    reach_kpc: float | None,
    used_kpc: Sequence[float] | None,
) -> Plane:
    flat = grid.sizes["z"] == 1
    nearest = tuple(mark for mark in marks if _slice_of(mark, heights) in (height, None))
    reach = None
    if reach_kpc is not None and abs(height) < reach_kpc:
        reach = float(np.sqrt(reach_kpc**2 - height**2))
    used = None if used_kpc is None else (used_kpc[0], used_kpc[1])
    note = "" if flat else rf"$z = {1000 * height:.0f}$ pc"
    return Plane(("x", "y"), grid["x"].values, grid["y"].values, note, reach, nearest, used)


@styled
def fit_slices(
    name: str,
    fit: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    heights_kpc: Sequence[float] = (0.0,),
    marks: Sequence[Mark] = (),
    reach_kpc: float | None = None,
    used_kpc: Sequence[float] | None = None,
    colours: str = "viridis",
) -> Figure:
    """Slices of one fit; for mocks beside the truth and the logarithm of their ratio.

    Parameters
    ----------
    name
        Name of the fit.
    fit, truth
        Maps with `density` [mag / kpc] on dims (x, y, z) [kpc], on one grid.
    heights_kpc
        Heights z of the slices.
    marks
        Named directions, drawn in the slice that is nearest to them.
    reach_kpc
        Distance of the farthest stars, drawn as a circle; the map is cropped around it.
    used_kpc
        Half-widths of the part of the box that holds stars, drawn as a rectangle. Differences
        outside of it, or of the circle, do not stretch the colours.
    colours
        Colour map of the density.

    Raises
    ------
    ConfigError
        If a height lies outside the map.
    """
    heights = _heights(fit, heights_kpc)
    fit = crop(fit, reach_kpc)
    found = [slice_density(fit, h) for h in heights]
    planes = [_plane(fit, h, heights, marks, reach_kpc, used_kpc) for h in heights]
    label = fit_label(name)
    if truth is None:
        scale = Scale(density_norm(*found), colours, DENSITY)
        across = min(len(heights), 3)
        panels: list[Panel | None] = [
            Panel(plane, values, scale, label if i == 0 else "")
            for i, (plane, values) in enumerate(zip(planes, found, strict=True))
        ]
        panels += [None] * (-len(panels) % across)
        rows = [panels[i : i + across] for i in range(0, len(panels), across)]
        return tableau(rows, largest=4.6 if across == 1 else 3.4)
    true = [slice_density(crop(truth, reach_kpc), h) for h in heights]
    scales = [Scale(density_norm(*true), colours, DENSITY)] * len(heights)
    ratios, change = differences(planes, [[v] for v in found], true, LN_DENSITY_DIFFERENCE)
    seen = [[t, v] for t, v in zip(true, found, strict=True)]
    left = panel_rows(planes, seen, scales, ["truth", label])
    right = panel_rows(planes, ratios, [change] * len(heights), ["difference"])
    return tableau([a + b for a, b in zip(left, right, strict=True)])


@styled
def compare_slices(
    fits: Mapping[str, xr.Dataset],
    truth: xr.Dataset | None = None,
    *,
    heights_kpc: Sequence[float] = (0.0,),
    marks: Sequence[Mark] = (),
    reach_kpc: float | None = None,
    used_kpc: Sequence[float] | None = None,
    colours: str = "viridis",
) -> Figure:
    """Slices of all fits side by side, beside the truth and above their differences to it.

    Parameters are those of `fit_slices`, with one map for each name.
    """
    heights = _heights(next(iter(fits.values())), heights_kpc)
    grids = [crop(fit, reach_kpc) for fit in fits.values()]
    found = [[slice_density(grid, h) for grid in grids] for h in heights]
    true = [] if truth is None else [slice_density(crop(truth, reach_kpc), h) for h in heights]
    scales = [Scale(density_norm(*(true or chain(*found))), colours, DENSITY)] * len(heights)
    planes = [_plane(grids[0], h, heights, marks, reach_kpc, used_kpc) for h in heights]
    labels = [fit_label(name) for name in fits]
    if not true:
        return tableau(panel_rows(planes, found, scales, labels))
    ratios, change = differences(planes, found, true, LN_DENSITY_DIFFERENCE)
    seen = [[t, *row] for t, row in zip(true, found, strict=True)]
    upper = panel_rows(planes, seen, scales, ["truth", *labels])
    lower = panel_rows(planes, ratios, [change] * len(heights), [""] * len(labels))
    return tableau([row for a, b in zip(upper, lower, strict=True) for row in (a, [None, *b])])
