"""Figures of one fit, and the film of its training."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from dust3d.errors import ProductError
from dust3d.fields.base import Field
from dust3d.fields.fourier import AmplitudePhaseField, FourierField
from dust3d.fields.sum import SumField
from dust3d.files import atomic_path
from dust3d.inference.prior import spectral_scales
from dust3d.io.fields import load_field
from dust3d.io.history import read_history
from dust3d.io.maps import read_map
from dust3d.io.reports import read_json, read_scores
from dust3d.io.tables import in_unit, read_table, texts
from dust3d.plots.animation import gif, training_film
from dust3d.plots.columns import fit_columns
from dust3d.plots.history import history_figure
from dust3d.plots.modes import mode_figure, wave_vectors
from dust3d.plots.residuals import Predictions, residual_figure
from dust3d.plots.sky import sky_figure
from dust3d.plots.slices import fit_slices
from dust3d.plots.spectra import Power, map_power, power_spectra, recovery_spectra
from dust3d.provenance import provenance
from dust3d.runtime import configure
from dust3d.stages.figures.common import (
    PathLike,
    look,
    marks,
    read_truth,
    save_figures,
    sky_distances,
)


@dataclass(frozen=True)
class _Product:
    """The products of one fit, read when a figure asks for them."""

    name: str
    paths: Mapping[str, PathLike | None]
    settings: dict[str, Any]

    def path(self, product: str) -> Path:
        """Where a product is; an error if the figure was asked for without it."""
        path = self.paths.get(product)
        if path is None:
            raise ProductError(
                f"figures of {self.name}: no `{product}` was given, and a figure that was asked "
                "for needs it; name the file or leave that figure out"
            )
        return Path(path)

    @cached_property
    def map(self) -> xr.Dataset:
        """The fit's map."""
        return read_map(self.path("map"))

    @cached_property
    def truth(self) -> xr.Dataset | None:
        """The true map, of a mock."""
        return read_truth(self.paths.get("truth_map"), self.map, self.path("map"))

    @cached_property
    def scores(self) -> dict[str, Any]:
        """The fit's scores."""
        return read_scores(self.path("scores"))

    @cached_property
    def series(self) -> FourierField | None:
        """The Fourier part of the field, if it has one."""
        configure()
        return fourier_part(load_field(self.path("field"))[0])

    def prior_scales(self, series: FourierField) -> np.ndarray:
        """Prior standard deviation of each coefficient of the Fourier part."""
        prior = self.settings["prior"]
        return spectral_scales(
            series.modes,
            series.half_widths,
            std=prior["std"],
            slope=prior["slope"],
            outer_scale_kpc=prior["outer_scale_kpc"],
            std_scale_kpc=prior["std_scale_kpc"],
        )


def fourier_part(field: Field) -> FourierField | None:
    """The Fourier series in a field or in a sum of fields, with cosines and sines."""
    if isinstance(field, SumField):
        found = (fourier_part(part) for part in field.parts)
        return next((part for part in found if part is not None), None)
    if isinstance(field, AmplitudePhaseField):
        return field.to_cos_sin()
    return field if isinstance(field, FourierField) else None


def _slices(product: _Product) -> Any:
    plots = product.settings["plots"]
    return fit_slices(
        product.name,
        product.map,
        product.truth,
        heights_kpc=plots["slices_kpc"],
        **look(product.settings),
    )


def _columns(product: _Product) -> Any:
    return fit_columns(product.name, product.map, product.truth, **look(product.settings))


def _spectrum(product: _Product) -> Any:
    if product.scores.get("recovery"):
        return recovery_spectra({product.name: product.scores["recovery"]})
    prior = {}
    series = product.series if product.paths.get("field") is not None else None
    if series is not None:
        k = np.linalg.norm(wave_vectors(series.modes, np.asarray(series.half_widths)), axis=1)
        order = np.argsort(k)
        prior[product.name] = Power(k[order], product.prior_scales(series)[order] ** 2)
    return power_spectra({product.name: map_power(product.map)}, prior)


def _modes(product: _Product) -> Any:
    series = product.series
    if series is None:
        raise ProductError(
            f"{product.path('field')}: the field has no Fourier part, so there are no modes to "
            "draw; ask for this figure for Fourier fits only"
        )
    return mode_figure(
        product.name,
        series.modes,
        np.asarray(series.half_widths),
        np.asarray(series.cos),
        np.asarray(series.sin),
        product.prior_scales(series),
        colours=product.settings["plots"]["colour_map"],
    )


def _residuals(product: _Product) -> Any:
    columns = ["l", "b", "distance", "class", "extinction", "predicted", "sigma", "heldout"]
    table = read_table(product.path("predicted"), columns)
    stars = Predictions(
        l_deg=in_unit(table, "l", "deg"),
        b_deg=in_unit(table, "b", "deg"),
        distance_kpc=in_unit(table, "distance", "kpc"),
        classes=texts(table, "class"),
        observed_mag=in_unit(table, "extinction", "mag"),
        predicted_mag=in_unit(table, "predicted", "mag"),
        sigma_mag=in_unit(table, "sigma", "mag"),
        heldout=np.asarray(table["heldout"], dtype=bool),
    )
    return residual_figure(product.name, stars, colours=product.settings["plots"]["colour_map"])


def _history(product: _Product) -> Any:
    summary = {}
    if product.paths.get("fit_json") is not None:
        summary = read_json(product.path("fit_json"), ["parameters", "stars"])
    return history_figure(
        product.name,
        read_history(product.path("history")),
        parameters=summary.get("parameters"),
        stars=summary.get("stars"),
    )


def _sky(product: _Product) -> Any:
    return sky_figure(
        product.name,
        product.map,
        product.truth,
        distances_kpc=sky_distances(product.settings),
        marks=marks(product.settings),
        colours=product.settings["plots"]["colour_map"],
    )


_FIT_FIGURES: dict[str, Callable[[_Product], Any]] = {
    "slices": _slices,
    "columns": _columns,
    "spectrum": _spectrum,
    "modes": _modes,
    "residuals": _residuals,
    "history": _history,
    "sky": _sky,
}


def fit_figures(
    *,
    name: str,
    outputs: Mapping[str, PathLike],
    settings: dict[str, Any],
    seed: int,
    source: str,
    field: PathLike | None = None,
    fit_json: PathLike | None = None,
    history: PathLike | None = None,
    map: PathLike | None = None,
    scores: PathLike | None = None,
    predicted: PathLike | None = None,
    truth_map: PathLike | None = None,
) -> None:
    """Draw the figures of one fit that `outputs` names.

    Parameters
    ----------
    name
        Name of the fit.
    outputs
        PNG to be written for each kind: slices, columns, spectrum, modes, residuals, history, sky.
    field, fit_json, history, map, scores, predicted
        The fit's products; those that no chosen figure needs may be left out.
    truth_map
        The true map, of a mock.
    settings
        The sections plots, box, prior and selection.
    seed, source
        For the record: the run's seed, the digest of the source.

    Raises
    ------
    ProductError
        If a product is missing or damaged, or a figure of that kind does not exist.
    """
    paths = {
        "field": field,
        "fit_json": fit_json,
        "history": history,
        "map": map,
        "scores": scores,
        "predicted": predicted,
        "truth_map": truth_map,
    }
    product = _Product(name, paths, settings)
    draw = {kind: partial(function, product) for kind, function in _FIT_FIGURES.items()}
    save_figures(draw, outputs, title=name, settings=settings, seed=seed, source=source)


def fit_animation(
    *,
    name: str,
    history: PathLike,
    output: PathLike,
    settings: dict[str, Any],
    seed: int,
    source: str,
    truth_map: PathLike | None = None,
) -> None:
    """Write the film of a fit's training as a GIF.

    Parameters
    ----------
    name
        Name of the fit.
    history
        Its history, with snapshots.
    output
        GIF to be written.
    settings
        The section plots.
    seed, source
        For the record: the run's seed, the digest of the source.
    truth_map
        The true map, of a mock.

    Raises
    ------
    ProductError
        If the history is damaged or has no snapshots.
    """
    found = read_history(history)
    if len(found.get("snapshots/epoch", ())) == 0:
        raise ProductError(
            f"{history}: holds no snapshots to make a film of; set optimiser.snapshots above 0 "
            "and fit again, or set plots.animation: false"
        )
    truth = None if truth_map is None else read_map(truth_map)
    frames = training_film(name, found, truth, colours=settings["plots"]["colour_map"])
    origin = provenance(settings=settings, source=source, seed=seed)
    content = gif(frames, comment=json.dumps(origin, sort_keys=True))
    with atomic_path(output) as aside:
        aside.write_bytes(content)
