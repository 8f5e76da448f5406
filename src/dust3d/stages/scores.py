"""Scores of a fit, and the table that compares all fits of a run."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from astropy import units as u
from astropy.table import vstack
from astropy_healpix import HEALPix

from dust3d import runtime
from dust3d.config.base import Box
from dust3d.config.model import Likelihood
from dust3d.config.output import Scores
from dust3d.conventions import R_V
from dust3d.errors import ProductError
from dust3d.fields.base import Field
from dust3d.fields.sum import in_cosines
from dust3d.files import atomic_path, write_json
from dust3d.io.fields import load_field
from dust3d.io.maps import read_map
from dust3d.io.reports import read_json, read_scores
from dust3d.io.samples import Samples, load_samples
from dust3d.io.stars import read_split
from dust3d.io.tables import read_table, write_table
from dust3d.observations import Observations
from dust3d.provenance import provenance
from dust3d.rays.gridded import GriddedField, grid_for_field
from dust3d.scores.anisotropy import radial_excess
from dust3d.scores.baselines import neighbours, slab
from dust3d.scores.bias import residual_bias
from dust3d.scores.calibration import Watcher, measured_calibration, posterior_predictive
from dust3d.scores.cells import Cells
from dust3d.scores.heldout import (
    Prediction,
    advantage,
    class_agreement,
    density_score,
    residual_scores,
)
from dust3d.scores.predict import predict, sky_medians
from dust3d.scores.recovery import recovery
from dust3d.scores.sky import column_ends, sky_directions
from dust3d.scores.truths import Truths, low_passed

_BUBBLE_KPC = (0.07, 0.1)
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


def _pixels(path: str | Path, nside: int) -> np.ndarray:
    table = read_table(path, columns=["l", "b"])
    return np.asarray(HEALPix(nside).lonlat_to_healpix(table["l"], table["b"]))


@dataclass(frozen=True)
class _Case:
    """A fit with its stars and, of a mock, the truth.

    `pixels` are those of the held-out stars on the sky, `cells` those of the map that count.
    """

    half_widths: tuple[float, ...]
    likelihood: Likelihood
    wanted: Scores
    summary: dict[str, Any]
    field: Field
    map: xr.Dataset
    cells: Cells
    samples: Samples | None
    train: Observations
    heldout: Observations
    pixels: np.ndarray
    truth: Field | None
    truth_map: xr.Dataset | None

    def gridded(self, field: Field) -> GriddedField:
        return GriddedField(field, grid_for_field(field, self.half_widths))


def _posterior_of(field: Field, path: str | Path | None, fitted_map: xr.Dataset) -> Samples | None:
    if path is None:
        return None
    if "info" not in fitted_map:
        raise ProductError(
            f"{path}: there are samples, but the fit's map was made without them; make it again"
        )
    return load_samples(path, in_cosines(field))


def _heldout_scores(case: _Case, prediction: Prediction) -> dict[str, Any]:
    train, heldout, likelihood = case.train, case.heldout, case.likelihood
    rivals = {
        "neighbours": neighbours(train, heldout, case.wanted.neighbours, likelihood),
        "slab": slab(train, heldout, likelihood),
    }
    return residual_scores(heldout, prediction) | {
        "log_predictive_density": density_score(prediction, case.pixels),
        "baselines": {
            name: residual_scores(heldout, rival) | advantage(prediction, rival, case.pixels)
            for name, rival in rivals.items()
        },
        "bias": residual_bias(heldout, prediction, case.pixels),
    }


def _local_bubble(case: _Case, gridded: GriddedField, truth: GriddedField | None) -> dict[str, Any]:
    sky = sky_directions(len(case.half_widths))
    reachable = [d for d in _BUBBLE_KPC if d < min(case.half_widths)]
    found: dict[str, Any] = {
        "distances_kpc": reachable,
        "sky_median_mag": sky_medians(gridded, reachable, sky),
    }
    if truth is not None:
        found["true_sky_median_mag"] = sky_medians(truth, reachable, sky)
    return found


def _recovery(case: _Case) -> dict[str, Any]:
    assert case.truth_map is not None
    fourier = case.summary["model"] == "fourier"
    return recovery(
        case.truth_map,
        case.map,
        half_widths=case.half_widths,
        fraction=case.wanted.box_fraction,
        shells=case.wanted.shells,
        order=case.summary["order"] if fourier else None,
        ball=bool(case.summary.get("ball", True)),
    )


def _fingers_of_god(case: _Case, of_samples: Sequence[float | None]) -> dict[str, Any]:
    """Radial excess of the fit, of the truth, and of samples."""
    informed = case.cells.informed(case.map)
    found: dict[str, Any] = {}
    for name, dataset in (("fit", case.map), ("truth", case.truth_map)):
        if dataset is not None:
            values, axes = case.cells.of(dataset, "ln_density"), case.cells.inner_axes
            found[name] = radial_excess(values, axes)
            if informed is not None:
                found[f"{name}_informed"] = radial_excess(values, axes, informed)
    known = [value for value in of_samples if value is not None]
    if known:
        found["samples"] = {"mean": float(np.mean(known)), "std": float(np.std(known))}
    return found


def _truths(case: _Case, truth: GriddedField | None, width_kpc: float | None) -> Truths | None:
    """What samples are ranked against, of a mock."""
    if truth is None or case.truth_map is None:
        return None
    cells, summary = case.cells, case.summary
    rays = sky_directions(len(case.half_widths))
    reach = float(case.train.distances.max())
    return Truths.of(
        truth,
        case.truth_map,
        cells,
        positions=case.heldout.positions,
        ends=column_ends(rays, case.half_widths, case.wanted.box_fraction, reach),
        low_passed_ln_density=low_passed(
            cells.whole(case.truth_map, "ln_density"),
            case.field,
            cells.axes,
            summary["order"],
            bool(summary.get("ball", True)),
        ),
        width_kpc=width_kpc,
    )


def _with_posterior(
    case: _Case, samples: Samples, truths: Truths | None
) -> tuple[Prediction, dict[str, Any], list[float | None]]:
    """Prediction of held-out stars, how well it is calibrated, and radial excesses of samples."""
    excesses: list[float | None] = []

    def excess(field: Field, *_: Any) -> None:
        axes = case.cells.inner_axes
        ln_density = np.asarray(field.on_grid([jnp.asarray(axis) for axis in axes]))
        excesses.append(radial_excess(ln_density, axes))

    watchers: list[Watcher] = [excess]
    if truths is not None:
        watchers.append(truths.add)
    mixture = posterior_predictive(
        samples, case.half_widths, case.heldout, case.likelihood, watchers
    )
    found: dict[str, Any] = {"samples": len(samples)}
    found |= measured_calibration(mixture, case.heldout, case.pixels)
    if truths is not None and case.truth_map is not None:
        found["coverage"] |= truths.coverage(
            case.truth_map, case.map, case.pixels, case.wanted.pixel_nside
        )
    return mixture.prediction(case.heldout.extinction), found, excesses


def _all_scores(case: _Case) -> tuple[dict[str, Any], Prediction, Prediction]:
    """All scores, and the predictions of training and of held-out stars."""
    summary, fitted = case.summary, case.summary["likelihood"]
    gridded = case.gridded(case.field)
    truth = case.gridded(case.truth) if case.truth is not None else None
    on_train = predict(gridded, case.train, case.likelihood, fitted)
    recovered = _recovery(case) if case.truth_map is not None else {}
    calibration, excesses = {}, []
    if case.samples is None:
        on_heldout = predict(gridded, case.heldout, case.likelihood, fitted)
    else:
        truths = _truths(case, truth, recovered.get("resolution_kpc"))
        on_heldout, calibration, excesses = _with_posterior(case, case.samples, truths)
    edges = np.linspace(0, float(case.train.distances.max()) * (1 + 1e-9), 6)
    given = ("name", "model", "order", "parameters", "seconds", "rays", "converged")
    found: dict[str, Any] = {
        **{key: summary[key] for key in given},
        "heldout": _heldout_scores(case, on_heldout),
        "train": residual_scores(case.train, on_train),
        "zero_point_agreement": class_agreement(case.train, on_train, edges, R_V)
        | {"heldout": class_agreement(case.heldout, on_heldout, edges, R_V)},
        "local_bubble": _local_bubble(case, gridded, truth),
        "fingers_of_god": _fingers_of_god(case, excesses),
    }
    further = {"recovery": recovered, "calibration": calibration}
    return found | {key: value for key, value in further.items() if value}, on_train, on_heldout


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
        table["outlier_probability"] = prediction.outlier
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
    samples: str | Path | None = None,
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
    samples
        Of the fit's posterior: held-out stars are then judged by all of them together, and
        `calibration` says whether they scatter as they should.

    Raises
    ------
    ProductError
        If a product is damaged, or the map was made without the samples.
    """
    runtime.configure()
    half_widths = Box.model_validate(settings["box"]).half_widths_kpc
    wanted = Scores.model_validate(settings["scores"])
    needed = ["name", "model", "order", "parameters", "seconds", "likelihood", "rays", "converged"]
    summary, fitted_map = read_json(fit_json, needed), read_map(map)
    field, _ = load_field(fit_field)
    likelihood = Likelihood.model_validate(settings["likelihood"])
    stars, others = read_split(train, heldout, half_widths, likelihood.distance_cells)
    case = _Case(
        half_widths=half_widths,
        likelihood=likelihood,
        wanted=wanted,
        summary=summary,
        field=field,
        map=fitted_map,
        cells=Cells.inside(fitted_map, half_widths, wanted.box_fraction),
        samples=_posterior_of(field, samples, fitted_map),
        train=stars,
        heldout=others,
        pixels=_pixels(heldout, wanted.pixel_nside),
        truth=load_field(truth_field)[0] if truth_field is not None else None,
        truth_map=read_map(truth_map) if truth_map is not None else None,
    )
    origin = provenance(settings=settings, source=source, seed=seed)
    found, on_train, on_heldout = _all_scores(case)
    _write_predicted(predicted, (train, heldout), (on_train, on_heldout), origin)
    write_json(output, found | {"provenance": origin})


# of ln rho where the stars took half of the prior's variance
_COVERED = {
    "heldout": ("heldout",),
    "extinction": ("extinction",),
    "ln_density": ("ln_density", "informed"),
}
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
    "reduced_chi2": ("heldout", "reduced_chi2_fitted"),
    "pit_ks": ("calibration", "pit", "ks"),
    "pit_p": ("calibration", "pit", "p"),
    **{
        f"coverage_{percent}_{name}": ("calibration", "coverage", *keys, str(percent), "share")
        for name, keys in _COVERED.items()
        for percent in (68, 95)
    },
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
