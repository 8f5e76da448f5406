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
from dust3d.fields.fourier import AmplitudePhaseField, FourierField
from dust3d.fields.mean import ConstantMean
from dust3d.fields.sum import SumField
from dust3d.observations import Observations
from dust3d.rays.grid import Grid, fast_size
from dust3d.rays.gridded import GriddedField
from dust3d.transforms.grid import cell_centres

_VOXELS_PER_HALF_WAVE = 4
_VOXELS_PER_CELL = 2
_MOST_VOXELS = 48_000_000


def highest_order(field: Field, ndim: int) -> tuple[int, ...] | None:
    """Highest mode along each axis; none if a part of the field is no Fourier series or mean."""
    if isinstance(field, FourierField | AmplitudePhaseField):
        return field.order
    if isinstance(field, ConstantMean):
        return (0,) * ndim
    if isinstance(field, SumField):
        orders = [highest_order(part, ndim) for part in field.parts]
        if None not in orders:
            return tuple(max(axis) for axis in zip(*filter(None, orders), strict=True))
    return None


def fine_grid(field: Field, half_widths: Sequence[float], cells: Sequence[int]) -> Grid:
    """A grid fine enough for the modes of a field or, if it is no series, for the map's cells."""
    order = highest_order(field, len(half_widths))
    if order is None:
        wanted = [_VOXELS_PER_CELL * n for n in cells]
    else:
        wanted = [max(2 * m * _VOXELS_PER_HALF_WAVE, 8) for m in order]
    shrink = min(1.0, (_MOST_VOXELS / np.prod(wanted)) ** (1 / len(wanted)))
    lowest = [2 * m + 2 for m in order or (0,) * len(wanted)]
    return Grid(
        tuple(fast_size(max(shrink * n, low)) for n, low in zip(wanted, lowest, strict=True)),
        tuple(half_widths),
    )


def _variable(values: np.ndarray, unit: str, name: str, dims: Sequence[str]) -> xr.Variable:
    return xr.Variable(dims, values, {"units": unit, "long_name": name})


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
    gridded = GriddedField(field, fine_grid(field, half_widths, cells))
    axes = [cell_centres(h, n) for h, n in zip(half_widths, cells, strict=True)]
    mesh = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    ln_density = np.asarray(field.on_grid([jnp.asarray(axis) for axis in axes]))
    extinction = gridded.extinctions(mesh.reshape(-1, len(axes))).reshape(ln_density.shape)
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
