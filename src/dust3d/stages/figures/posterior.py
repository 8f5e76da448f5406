"""Figures of the uncertainties of one fit, from samples of its posterior."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from dust3d.coords import directions
from dust3d.errors import ProductError
from dust3d.fields.base import Field
from dust3d.fields.sum import in_cosines
from dust3d.io.fields import load_field
from dust3d.io.maps import read_map
from dust3d.io.reports import read_json
from dust3d.io.samples import Samples, load_samples
from dust3d.io.tables import in_unit, read_table
from dust3d.plots.pit import pit_figure
from dust3d.plots.planes import Mark
from dust3d.plots.sky_spread import sky_spread_figure
from dust3d.plots.spaghetti import Ray, spaghetti_figure
from dust3d.plots.uncertainty import nearest_layer, uncertainty_figure
from dust3d.runtime import configure
from dust3d.stages.figures.common import (
    PathLike,
    look,
    marks,
    reach,
    read_truth,
    save_figures,
    sky_distances,
)
from dust3d.stages.figures.fits import fourier_part

_POINTS = 301
_SHOWN = 2
# a little of what lies beyond the stars
_BEYOND_STARS = 1.1
_IN_THE_PLANE = [Mark("", longitude, 0.0) for longitude in (0.0, 90.0, 180.0, 270.0)]
_CALIBRATION = [f"calibration.pit.{key}" for key in ("histogram", "n", "n_effective", "ks", "p")]
_CALIBRATION += [f"calibration.coverage.heldout.{share}" for share in ("68", "95")]


def posterior_figures(
    *,
    name: str,
    field: PathLike,
    samples: PathLike,
    map: PathLike,
    scores: PathLike,
    predicted: PathLike,
    outputs: Mapping[str, PathLike],
    settings: dict[str, Any],
    seed: int,
    source: str,
    truth_field: PathLike | None = None,
    truth_map: PathLike | None = None,
) -> None:
    """Draw how well a fit is known.

    Parameters
    ----------
    name
        Name of the fit.
    field, samples
        The fit, and the samples of its posterior.
    map, scores
        Of the fit, made with these samples.
    predicted
        The stars, of which the fitted ones are marked along rays.
    outputs
        PNG to be written for each kind: uncertainty, spaghetti, pit, sky_std.
    settings
        The sections plots, box, prior and selection.
    seed, source
        For the record: the run's seed, the digest of the source.
    truth_field, truth_map
        The truth, of a mock.

    Raises
    ------
    ProductError
        If a product is missing or damaged, was made without the samples, or a figure of that
        kind does not exist.
    """
    configure()
    found = load_samples(samples, in_cosines(load_field(field)[0]))
    fit = read_map(map)
    if "info" not in fit:
        raise ProductError(
            f"{map}: was made without the samples in {samples}, so it has no uncertainties to "
            "draw; make it again"
        )
    truth = read_truth(truth_map, fit, Path(map))
    true_field = None if truth_field is None else load_field(truth_field)[0]
    draw = {
        "uncertainty": partial(_uncertainty, name, found, fit, truth, settings),
        "spaghetti": partial(_spaghetti, name, found, true_field, predicted, settings),
        "pit": lambda: pit_figure(name, read_json(scores, _CALIBRATION)["calibration"]),
        "sky_std": lambda: sky_spread_figure(
            name,
            fit,
            truth,
            distances_kpc=sky_distances(settings),
            marks=marks(settings),
            colours=settings["plots"]["colour_map"],
        ),
    }
    save_figures(draw, outputs, title=name, settings=settings, seed=seed, source=source)


def _uncertainty(
    name: str,
    samples: Samples,
    fit: xr.Dataset,
    truth: xr.Dataset | None,
    settings: dict[str, Any],
) -> Any:
    height = min(settings["plots"]["slices_kpc"] or [0.0], key=abs)
    layer = nearest_layer(fit, height)
    axes = [fit["x"].values, fit["y"].values]
    if fit.sizes["z"] > 1:
        axes.append(fit["z"].values[layer : layer + 1])
    grid = [jnp.asarray(axis) for axis in axes]
    shape = (fit.sizes["x"], fit.sizes["y"])
    values = [np.asarray(one.on_grid(grid)).reshape(shape) for one in samples.fields[:_SHOWN]]
    return uncertainty_figure(
        name, fit, np.stack(values), truth, height_kpc=height, **look(settings)
    )


def _spaghetti(
    name: str,
    samples: Samples,
    truth: Field | None,
    predicted: PathLike,
    settings: dict[str, Any],
) -> Any:
    within = _finest_kpc(samples) / 2
    places = _stars(predicted)
    rays = [
        _ray(mark, samples, truth, places, within, settings)
        for mark in named_directions(marks(settings), len(settings["box"]["half_widths_kpc"]))
    ]
    return spaghetti_figure(name, rays, within_kpc=within)


def _finest_kpc(samples: Samples) -> float:
    """Half of the shortest wavelength along an axis: the size of the finest structure."""
    series = fourier_part(samples.fields[0])
    if series is None:
        raise ProductError("the samples have no Fourier part; only Fourier fits have samples")
    return min(h / m for h, m in zip(series.half_widths, series.order, strict=True))


def named_directions(known: Sequence[Mark], ndim: int) -> list[Mark]:
    """The marks that rays can go to; without any, four directions in the plane.

    A 2-D sky has no latitude: it takes the marks in the plane alone.
    """
    chosen = [mark for mark in known if ndim == 3 or mark.b_deg == 0]
    return chosen or list(_IN_THE_PLANE)


def _stars(predicted: PathLike) -> np.ndarray:
    """Positions of the fitted stars [kpc]."""
    table = read_table(predicted, ["l", "b", "distance", "heldout"])
    fitted = ~np.asarray(table["heldout"], dtype=bool)
    towards = directions(in_unit(table, "l", "deg"), in_unit(table, "b", "deg"))
    return (towards * in_unit(table, "distance", "kpc")[:, None])[fitted]


def ray_length(towards: np.ndarray, settings: dict[str, Any]) -> float:
    """How far a ray is drawn [kpc]: to the face of the box, or little beyond the farthest stars."""
    half_widths = np.asarray(settings["box"]["half_widths_kpc"])
    with np.errstate(divide="ignore"):
        length = float((half_widths / np.abs(towards[: half_widths.size])).min())
    farthest = reach(settings)
    return length if farthest is None else min(length, _BEYOND_STARS * farthest)


def stars_near(positions: np.ndarray, towards: np.ndarray, within_kpc: float) -> np.ndarray:
    """Distances along a ray [kpc] of the stars within a distance of it."""
    along = positions @ towards
    across = np.linalg.norm(positions - along[:, None] * towards, axis=1)
    return along[(along > 0) & (across <= within_kpc)]


def _ray(
    mark: Mark,
    samples: Samples,
    truth: Field | None,
    places: np.ndarray,
    within: float,
    settings: dict[str, Any],
) -> Ray:
    ndim = len(settings["box"]["half_widths_kpc"])
    towards = directions(np.asarray(mark.l_deg), np.asarray(mark.b_deg))
    s = np.linspace(0.0, ray_length(towards, settings), _POINTS)
    points = jnp.asarray((s[:, None] * towards)[:, :ndim])
    heights, prior = s * towards[2], samples.prior
    return Ray(
        mark.name,
        mark.l_deg,
        mark.b_deg,
        s,
        np.stack([np.asarray(one.at(points)) for one in samples.fields]),
        float(np.log(settings["prior"]["mean"]["density_mag_per_kpc"])),
        np.sqrt(np.interp(heights, prior.z_kpc, prior.resolved)),
        prior.beyond,
        None if truth is None else np.asarray(truth.at(points)),
        stars_near(places, towards, within),
        mark.distance_kpc,
    )
