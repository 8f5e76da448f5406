"""A field on the grid that all maps of a run share."""

from collections import defaultdict
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
from dust3d.io.samples import Samples
from dust3d.maps.moments import Moments
from dust3d.observations import Observations
from dust3d.rays.gridded import GriddedField, grid_for_field
from dust3d.rays.pyramids import cell_extinctions, is_cheap_on_grids
from dust3d.transforms.grid import cell_centres

_MEANING = {
    "density": (DENSITY_UNIT, "dust density dA/ds"),
    "ln_density": ("1", "ln of density / (mag / kpc)"),
    "extinction": (EXTINCTION_UNIT, "extinction from the Sun"),
    "density_std": (DENSITY_UNIT, "standard deviation of density, from the fit's modes"),
    "extinction_std": (EXTINCTION_UNIT, "standard deviation of extinction"),
    "ln_density_std": ("1", "standard deviation of ln density, modes beyond the order included"),
    "ln_density_std_resolved": ("1", "standard deviation of ln density, from the fit's modes"),
    "info": ("1", "1 - posterior / prior variance of ln density, from the fit's modes"),
    "n_stars": ("1", "stars of the fit in the cell"),
}


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


def _on_cells(
    field: Field, half_widths: Sequence[float], axes: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Quantities of one field at the centres of all cells."""
    ln_density = np.asarray(field.on_grid([jnp.asarray(axis) for axis in axes]))
    extinction = _extinction(field, half_widths, axes)
    return {"density": np.exp(ln_density), "ln_density": ln_density, "extinction": extinction}


def _spread(samples: Samples, half_widths: Sequence[float], axes: Sequence[np.ndarray]):
    """Mean and standard deviation over samples of each quantity, one sample in memory at a time."""
    moments: defaultdict[str, Moments] = defaultdict(Moments)
    for field in samples.fields:
        for name, values in _on_cells(field, half_widths, axes).items():
            moments[name].add(values)
    return (
        {name: one.mean for name, one in moments.items()},
        {name: one.std for name, one in moments.items()},
    )


def _uncertainties(
    samples: Samples, std: dict[str, np.ndarray], axes: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Variables of a map that only a posterior has."""
    prior = samples.prior
    z = axes[2] if len(axes) == 3 else np.zeros(1)
    before = np.interp(z, prior.z_kpc, prior.resolved).reshape((1,) * (len(axes) - 1) + (-1,))
    after = std["ln_density"] ** 2
    return {
        "density_std": std["density"],
        "extinction_std": std["extinction"],
        "ln_density_std": np.sqrt(after + prior.beyond),
        "ln_density_std_resolved": std["ln_density"],
        "info": 1 - after / before,
    }


def grid_map(
    field: Field,
    half_widths: Sequence[float],
    cells: Sequence[int],
    attrs: dict[str, Any],
    stars: Observations | None = None,
    samples: Samples | None = None,
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
    samples
        Of the field's posterior: values are then means over them, and standard deviations and
        `info` stand beside.
    """
    axes = [cell_centres(h, n) for h, n in zip(half_widths, cells, strict=True)]
    if samples is None:
        values = _on_cells(field, half_widths, axes)
    else:
        values, std = _spread(samples, half_widths, axes)
        values |= _uncertainties(samples, std, axes)
        attrs = attrs | samples.estimator
    if stars is not None:
        edges = [np.linspace(-h, h, n + 1) for h, n in zip(half_widths, cells, strict=True)]
        values["n_stars"] = np.histogramdd(stars.positions, edges)[0].astype(np.int32)
    if len(axes) == 2:
        axes.append(np.zeros(1))
        values = {name: array[..., None] for name, array in values.items()}
    variables = {name: _variable(array, *_MEANING[name], AXES) for name, array in values.items()}
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
