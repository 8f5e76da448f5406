"""Scores of a fit, and the table that compares all fits of a run."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import vstack
from astropy_healpix import HEALPix

from dust3d import runtime
from dust3d.config.base import Box
from dust3d.config.model import Likelihood
from dust3d.config.output import Scores
from dust3d.conventions import R_V
from dust3d.coords import directions
from dust3d.files import atomic_path, write_json
from dust3d.io.fields import load_field
from dust3d.io.maps import read_map
from dust3d.io.reports import read_json, read_scores
from dust3d.io.stars import read_split
from dust3d.io.tables import read_table, write_table
from dust3d.observations import Observations
from dust3d.provenance import provenance
from dust3d.rays.gridded import GriddedField, grid_for_field
from dust3d.scores.baselines import neighbours, slab
from dust3d.scores.heldout import (
    Prediction,
    advantage,
    class_agreement,
    density_score,
    residual_scores,
)
from dust3d.scores.predict import predict, sky_medians
from dust3d.scores.recovery import recovery

_BUBBLE_KPC = (0.07, 0.1)
_SKY_NSIDE = 16
_PREDICTED_COLUMNS = (
    "source_id",
    "extinction_id",
    "l",
    "b",
    "distance",
    "class",
    "extinction",
    "extinction_error",
)


def _sky_directions(ndim: int) -> np.ndarray:
    """Directions all over the sky; along the plane in 2-D."""
    if ndim == 2:
        return directions(np.arange(0.0, 360.0, 2.0), np.zeros(180))[:, :2]
    grid = HEALPix(_SKY_NSIDE)
    lon, lat = grid.healpix_to_lonlat(np.arange(int(grid.npix)))
    return directions(np.asarray(lon.to_value(u.deg)), np.asarray(lat.to_value(u.deg)))


def _pixels(path: str | Path, nside: int) -> np.ndarray:
    table = read_table(path, columns=["l", "b"])
    return np.asarray(HEALPix(nside).lonlat_to_healpix(table["l"], table["b"]))


def _heldout_scores(
    train: Observations,
    heldout: Observations,
    prediction: Prediction,
    pixels: np.ndarray,
    likelihood: Likelihood,
    scores: Scores,
) -> dict[str, Any]:
    rivals = {
        "neighbours": neighbours(train, heldout, scores.neighbours, likelihood),
        "slab": slab(train, heldout, likelihood),
    }
    return residual_scores(heldout, prediction) | {
        "log_predictive_density": density_score(prediction, pixels),
        "baselines": {
            name: residual_scores(heldout, rival) | advantage(prediction, rival, pixels)
            for name, rival in rivals.items()
        },
    }


def _write_predicted(
    path: str | Path,
    tables: Sequence[str | Path],
    predictions: Sequence[Prediction],
    origin: dict[str, Any],
) -> None:
    parts = []
    for i, (table_path, prediction) in enumerate(zip(tables, predictions, strict=True)):
        table = read_table(table_path)
        table = table[[name for name in _PREDICTED_COLUMNS if name in table.colnames]]
        table["predicted"] = prediction.mean * u.mag
        table["sigma"] = prediction.sigma * u.mag
        table["heldout"] = np.full(len(table), i == 1)
        table.meta.clear()
        parts.append(table)
    joined = vstack(parts)
    joined.meta["provenance"] = origin
    write_table(path, joined)


def score(
    *,
    fit_field: str | Path,
    fit_json: str | Path,
    map: str | Path,
    truth_field: str | Path | None,
    truth_map: str | Path | None,
    train: str | Path,
    heldout: str | Path,
    output: str | Path,
    predicted: str | Path,
    settings: Mapping[str, Any],
    seed: int,
    source: str,
) -> None:
    """Score a fit on held-out stars and, for mocks, against the truth.

    Parameters
    ----------
    fit_field, fit_json, map
        The fit and its map.
    truth_field, truth_map
        The truth, for mocks.
    train, heldout
        The stars of the fit, and those kept from it.
    output, predicted
        Where the scores (JSON) and the table of predictions go.
    settings
        Sections `box`, `likelihood`, `scores`.
    seed, source
        Of the run and of the stage.
    """
    runtime.configure()
    half_widths = Box.model_validate(settings["box"]).half_widths_kpc
    likelihood = Likelihood.model_validate(settings["likelihood"])
    wanted = Scores.model_validate(settings["scores"])
    summary = read_json(fit_json, ["name", "model", "order", "likelihood", "rays", "converged"])
    field, _ = load_field(fit_field)
    fitted_map = read_map(map)
    gridded = GriddedField(field, grid_for_field(field, half_widths))
    stars, others = read_split(train, heldout, half_widths)
    on_train = predict(gridded, stars, likelihood, summary["likelihood"])
    on_heldout = predict(gridded, others, likelihood, summary["likelihood"])
    pixels = _pixels(heldout, wanted.pixel_nside)
    origin = provenance(settings=settings, source=source, seed=seed)
    edges = np.linspace(0, float(stars.distances.max()) * (1 + 1e-9), 6)
    sky = _sky_directions(len(half_widths))
    reachable = [d for d in _BUBBLE_KPC if d < min(half_widths)]
    found: dict[str, Any] = {
        "name": summary["name"],
        "model": summary["model"],
        "order": summary["order"],
        "parameters": summary["parameters"],
        "seconds": summary["seconds"],
        "rays": summary["rays"],
        "converged": summary["converged"],
        "heldout": _heldout_scores(stars, others, on_heldout, pixels, likelihood, wanted),
        "train": residual_scores(stars, on_train),
        "zero_point_agreement": class_agreement(stars, on_train, edges, R_V)
        | {"heldout": class_agreement(others, on_heldout, edges, R_V)},
        "local_bubble": {
            "distances_kpc": reachable,
            "sky_median_mag": sky_medians(gridded, reachable, sky),
        },
        "provenance": origin,
    }
    if truth_map is not None:
        fourier = summary["model"] == "fourier"
        found["recovery"] = recovery(
            read_map(truth_map),
            fitted_map,
            half_widths=half_widths,
            fraction=wanted.box_fraction,
            shells=wanted.shells,
            order=summary["order"] if fourier else None,
            ball=bool(summary.get("ball", True)),
        )
    if truth_field is not None:
        truth, _ = load_field(truth_field)
        true_gridded = GriddedField(truth, grid_for_field(truth, half_widths))
        found["local_bubble"]["true_sky_median_mag"] = sky_medians(true_gridded, reachable, sky)
    _write_predicted(predicted, (train, heldout), (on_train, on_heldout), origin)
    write_json(output, found)


_TABLE = {
    "name": ("name",),
    "model": ("model",),
    "order": ("order",),
    "parameters": ("parameters",),
    "heldout_lpd": ("heldout", "log_predictive_density", "mean"),
    "heldout_lpd_se": ("heldout", "log_predictive_density", "standard_error"),
    "ln_mean_square_residual_heldout": ("heldout", "ln_mean_square_residual"),
    "ln_mean_square_residual_train": ("train", "ln_mean_square_residual"),
    "width_catalogue": ("heldout", "width_catalogue"),
    "width_fitted": ("heldout", "width_fitted"),
    "correlation": ("recovery", "correlation"),
    "rms": ("recovery", "rms"),
    "correlation_ceiling": ("recovery", "correlation_ceiling"),
    "resolution_kpc": ("recovery", "resolution_kpc"),
    "rays_error_sigma_p99": ("rays", "error_sigma_p99"),
    "converged": ("converged",),
    "seconds": ("seconds",),
    "seed": ("provenance", "seed"),
    "device": ("provenance", "device"),
    "config_digest": ("provenance", "config_digest"),
    "source_digest": ("provenance", "source_digest"),
    "versions": ("provenance", "versions"),
}


def _entry(scores: dict[str, Any], keys: tuple[str, ...]) -> Any:
    value: Any = scores
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, dict):
        return "; ".join(f"{name} {number}" for name, number in sorted(value.items()))
    if isinstance(value, list):
        return "x".join(str(v) for v in value)
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else value


def compare(*, scores: Sequence[str | Path], output: str | Path, source: str = "") -> None:
    """One row per fit, as CSV; empty cells where a score does not apply. Each has its origin."""
    rows = [read_scores(path) for path in scores]
    with atomic_path(output) as aside, aside.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_TABLE)
        writer.writerows([_entry(row, keys) for keys in _TABLE.values()] for row in rows)
