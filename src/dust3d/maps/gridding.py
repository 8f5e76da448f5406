"""A field on the grid that all maps of a run share."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from dust3d.conventions import (
    AXES,
    BAND,
    DENSITY_UNIT,
    EXTINCTION_UNIT,
    FORMAT_VERSION,
    FRAME,
    MAP_FORMAT,
    POSITION_UNIT,
)
from dust3d.fields.base import Field
from dust3d.observations import Observations
from dust3d.rays.gridded import GriddedField, grid_for_field
from dust3d.rays.pyramids import cell_extinctions, is_cheap_on_grids
from dust3d.transforms.grid import cell_centres


def _variable(values: np.ndarray, unit: str, name: str, dims: Sequence[str]) -> xr.Variable:
    return xr.Variable(dims, values, {"units": unit, "long_name": name})


def _extinction(
    field: Field, half_widths: Sequence[float], axes: Sequence[np.ndarray]
) -> np.ndarray:
    """Extinctions [mag] from the Sun to the centres of all cells, to about a thousandth."""
    cells = tuple(len(axis) for axis in axes)
    if is_cheap_on_grids(field):
        return cell_extinctions(field, half_widths, cells)
    mesh = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    gridded = GriddedField(field, grid_for_field(field, half_widths))
    return gridded.extinctions(mesh).reshape(cells)


def grid_map(
    field: Field,
    half_widths: Sequence[float],
    cells: Sequence[int],
    attrs: dict[str, Any],
    stars: Observations | None = None,
) -> xr.Dataset:
    """Density, its logarithm and the extinction from the Sun at the centres of equal cells.

    Parameters
    ----------
    field
        The field.
    half_widths, cells
        The box [kpc] and the cells along each axis; a 2-D map gets a z axis of length 1.
    attrs
        Further attributes of the map.
    stars
        Stars to count in the cells, as `n_stars`.
    """
    axes = [cell_centres(h, n) for h, n in zip(half_widths, cells, strict=True)]
    ln_density = np.asarray(field.on_grid([jnp.asarray(axis) for axis in axes]))
    extinction = _extinction(field, half_widths, axes)
    counts = None
    if stars is not None:
        edges = [np.linspace(-h, h, n + 1) for h, n in zip(half_widths, cells, strict=True)]
        counts = np.histogramdd(stars.positions, edges)[0].astype(np.int32)
    if len(axes) == 2:
        axes.append(np.zeros(1))
        ln_density, extinction = ln_density[..., None], extinction[..., None]
        counts = counts[..., None] if counts is not None else None
    variables = {
        "density": _variable(np.exp(ln_density), DENSITY_UNIT, "dust density dA/ds", AXES),
        "ln_density": _variable(ln_density, "1", "ln of density / (mag / kpc)", AXES),
        "extinction": _variable(extinction, EXTINCTION_UNIT, "extinction from the Sun", AXES),
    }
    if counts is not None:
        variables["n_stars"] = _variable(counts, "1", "stars of the fit in the cell", AXES)
    coords = {
        name: _variable(axis, POSITION_UNIT, f"heliocentric Galactic {name}, cell centre", (name,))
        for name, axis in zip(AXES, axes, strict=True)
    }
    common = {
        "format": MAP_FORMAT,
        "format_version": FORMAT_VERSION,
        "frame": FRAME,
        "band": BAND,
        "units": f"density {DENSITY_UNIT}, extinction {EXTINCTION_UNIT}, position {POSITION_UNIT}",
        "half_widths_kpc": list(half_widths),
    }
    return xr.Dataset(variables, coords, common | attrs)
