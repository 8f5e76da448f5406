"""The stages that map and score: planted fits, the table of all fits, predictions."""

import csv
import json

import jax.numpy as jnp
import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from dust3d.config.model import Likelihood
from dust3d.config.output import Scores
from dust3d.conventions import R_V
from dust3d.errors import ProductError
from dust3d.fields.mean import ConstantMean
from dust3d.fields.sum import SumField
from dust3d.io.fields import save_field
from dust3d.io.maps import read_map
from dust3d.io.tables import read_table, write_table
from dust3d.stages import maps, scores

COLUMNS = [
    "name",
    "model",
    "order",
    "parameters",
    "heldout_lpd",
    "heldout_lpd_se",
    "ln_mean_square_residual_heldout",
    "ln_mean_square_residual_train",
    "width_catalogue",
    "width_fitted",
    "correlation",
    "rms",
    "correlation_ceiling",
    "resolution_kpc",
    "rays_error_sigma_p99",
    "converged",
    "seconds",
    "seed",
    "device",
    "config_digest",
    "source_digest",
    "versions",
]
HALF = (0.5, 0.5, 0.4)
ZERO_POINTS = {"A": 0.031, "F": -0.062}
SETTINGS = {
    "box": {"half_widths_kpc": HALF},
    "map": {"cells": (10, 10, 8)},
    "likelihood": Likelihood(zero_point_std_mag=0.02).model_dump(mode="json"),
    "scores": Scores(shells=4, neighbours=5).model_dump(mode="json"),
}
COMMON = {"settings": SETTINGS, "seed": 3, "source": "digest"}


def write_stars(path, number, seed):
    """Stars behind 0.8 mag / kpc, with zero points and an error of 0.02 mag."""
    generator = np.random.default_rng(seed)
    l, sin_b = generator.uniform(0, 360, number), generator.uniform(-1, 1, number)
    distance = generator.uniform(0.05, 0.38, number)
    classes = np.where(np.arange(number) % 3, "A", "F")
    zero = np.array([ZERO_POINTS[c] for c in classes])
    stars = QTable(
        {
            "source_id": np.arange(number) + 1000 * seed,
            "extinction_id": np.arange(number),
            "l": l * u.deg,
            "b": np.degrees(np.arcsin(sin_b)) * u.deg,
            "distance": distance * u.kpc,
            "extinction": (0.8 * distance + zero + generator.normal(0, 0.02, number)) * u.mag,
            "extinction_error": np.full(number, 0.02) * u.mag,
            "class": classes,
        }
    )
    write_table(path, stars)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A fit that is the truth, with its map and its scores."""
    folder = tmp_path_factory.mktemp("scored")
    write_stars(folder / "train.h5", 400, 1)
    write_stars(folder / "heldout.h5", 150, 2)
    field = SumField((ConstantMean(jnp.log(0.8)),))
    attrs = {"name": "fourier-2x2x2", "model": "fourier", "order": [2, 2, 2], "ball": True}
    save_field(folder / "field.h5", field, attrs | {"estimator": "maximum of the posterior"})
    likelihood = {
        "error_inflation": 1.0,
        "floor_mag": 0.0,
        "substructure_kpc": 0.0,
        "zero_points_mag": ZERO_POINTS,
    }
    summary = attrs | {"parameters": 1, "seconds": 2.5, "likelihood": likelihood}
    summary |= {"rays": {"method": "production", "error_sigma_p99": 0.1}, "converged": True}
    (folder / "fit.json").write_text(json.dumps(summary))
    maps.truth_map(field=folder / "field.h5", output=folder / "truth.zarr", **COMMON)
    maps.fit_map(
        fit=folder / "field.h5",
        train=folder / "train.h5",
        output=folder / "map.zarr",
        **COMMON,
    )
    score(folder, folder / "score.json", truth=True)
    return folder


def score(folder, output, *, truth):
    scores.score(
        fit_field=folder / "field.h5",
        fit_json=folder / "fit.json",
        map=folder / "map.zarr",
        truth_field=folder / "field.h5" if truth else None,
        truth_map=folder / "truth.zarr" if truth else None,
        train=folder / "train.h5",
        heldout=folder / "heldout.h5",
        output=output,
        predicted=output.with_suffix(".h5"),
        **COMMON,
    )


def strict(path):
    """JSON without NaN or infinities."""

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(path.read_text(), parse_constant=refuse)


def test_maps_hold_the_field_and_count_the_stars(folder):
    dataset = read_map(folder / "map.zarr")
    assert dict(dataset.sizes) == {"x": 10, "y": 10, "z": 8}
    np.testing.assert_allclose(dataset["density"], 0.8, rtol=1e-6)
    np.testing.assert_allclose(dataset["ln_density"], np.log(0.8), rtol=1e-6)
    distance = np.sqrt(dataset["x"] ** 2 + dataset["y"] ** 2 + dataset["z"] ** 2)
    np.testing.assert_allclose(dataset["extinction"], 0.8 * distance, rtol=1e-5)
    assert int(dataset["n_stars"].sum()) == 400
    assert dataset.attrs["estimator"] == "maximum of the posterior"
    assert dataset.attrs["seed"] == 3
    truth = read_map(folder / "truth.zarr")
    assert truth.attrs["estimator"] == "maximum of the posterior"
    assert "n_stars" not in truth
    np.testing.assert_array_equal(truth["x"], dataset["x"])


def test_scores_have_all_entries(folder):
    found = strict(folder / "score.json")
    assert set(found) >= {
        "name", "model", "order", "parameters", "seconds", "heldout", "train",
        "zero_point_agreement", "local_bubble", "recovery", "provenance", "rays",
    }  # fmt: skip
    assert set(found["heldout"]) >= {
        "n", "log_predictive_density", "ln_mean_square_residual", "rms_mag", "correlation",
        "width_catalogue", "width_fitted", "baselines",
    }  # fmt: skip
    for rival in ("neighbours", "slab"):
        entry = found["heldout"]["baselines"][rival]
        assert set(entry) >= {"mean", "difference", "standard_error", "sigmas"}
    assert set(found["recovery"]["shells"]) >= {
        "k_per_kpc", "n", "r", "transfer", "power_ratio", "r_ceiling", "transfer_ceiling",
        "power_truth", "power_fit",
    }  # fmt: skip
    assert set(found["recovery"]["distance"]) >= {"edges_kpc", "bias", "rms"}
    assert found["provenance"]["seed"] == 3


def test_the_truth_scores_as_the_truth(folder):
    found = strict(folder / "score.json")
    heldout = found["heldout"]
    # E ln N(e | 0, s) = -ln s - ln(2 pi e) / 2
    expected = -np.log(0.02) - 0.5 * np.log(2 * np.pi * np.e)
    assert heldout["log_predictive_density"]["mean"] == pytest.approx(
        expected, abs=4 * np.sqrt(0.5 / 150)
    )
    assert heldout["rms_mag"] == pytest.approx(0.02, rel=4 / np.sqrt(300))
    assert heldout["width_fitted"] == pytest.approx(1, rel=0.3)
    assert heldout["baselines"]["neighbours"]["sigmas"] > 3
    assert found["recovery"]["rms"] == pytest.approx(0, abs=1e-6)
    bubble = found["local_bubble"]
    np.testing.assert_allclose(bubble["sky_median_mag"], [0.056, 0.08], rtol=1e-5)
    np.testing.assert_allclose(bubble["true_sky_median_mag"], [0.056, 0.08], rtol=1e-5)


def test_zero_points_of_the_fit_leave_no_difference_between_classes(folder):
    (pair,) = strict(folder / "score.json")["zero_point_agreement"]["pairs"]
    assert pair["difference_ebv"] == pytest.approx(0, abs=4 * pair["standard_error"])
    # without them the difference would be plain to see
    assert pair["standard_error"] < 0.1 * abs(ZERO_POINTS["A"] - ZERO_POINTS["F"]) / R_V


def test_predictions_include_the_zero_point_of_the_class(folder):
    table = read_table(folder / "score.h5")
    assert len(table) == 550
    assert int(np.sum(table["heldout"])) == 150
    assert {"source_id", "l", "b", "distance", "class", "extinction", "extinction_error"} <= set(
        table.colnames
    )
    zero = np.array([ZERO_POINTS[c] for c in table["class"]])
    expected = 0.8 * table["distance"].to_value("kpc") + zero
    np.testing.assert_allclose(table["predicted"].to_value("mag"), expected, rtol=1e-5)
    np.testing.assert_allclose(table["sigma"].to_value("mag"), 0.02, rtol=1e-6)


def test_real_stars_have_no_recovery(folder):
    score(folder, folder / "real.json", truth=False)
    found = strict(folder / "real.json")
    assert "recovery" not in found
    assert "true_sky_median_mag" not in found["local_bubble"]
    scores.compare(scores=[folder / "real.json"], output=folder / "real.csv")
    with (folder / "real.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["correlation"] == ""
    assert row["name"] == "fourier-2x2x2"


def test_the_table_has_a_row_per_fit(folder):
    output = folder / "comparison.csv"
    scores.compare(scores=[folder / "score.json"] * 2, output=output)
    with output.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert list(rows[0]) == COLUMNS
    found = strict(folder / "score.json")
    assert rows[0]["order"] == "2x2x2"
    assert rows[0]["parameters"] == "1"
    assert float(rows[0]["seconds"]) == 2.5
    assert float(rows[0]["heldout_lpd"]) == pytest.approx(
        found["heldout"]["log_predictive_density"]["mean"], rel=1e-5
    )
    assert float(rows[0]["width_fitted"]) == pytest.approx(
        found["heldout"]["width_fitted"], rel=1e-5
    )
    # a flat truth has no resolution
    assert rows[0]["resolution_kpc"] == ""


def test_damaged_scores_are_named(folder, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text('{"name": ')
    with pytest.raises(ProductError, match=r"broken\.json: damaged or not JSON"):
        scores.compare(scores=[folder / "score.json", broken], output=tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
