"""The stages that map and score: planted fits, the table of all fits, predictions."""

import csv
import json

import jax.numpy as jnp
import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from scipy.stats import kstest, norm

from dust3d.config.model import Likelihood
from dust3d.config.output import Scores
from dust3d.conventions import R_V
from dust3d.errors import ProductError
from dust3d.fields.mean import ConstantMean
from dust3d.fields.sum import SumField
from dust3d.io.fields import save_field
from dust3d.io.maps import read_map
from dust3d.io.samples import PriorVariance, Samples, save_samples
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
    "reduced_chi2",
    "pit_ks",
    "pit_p",
    "coverage_68_heldout",
    "coverage_95_heldout",
    "coverage_68_extinction",
    "coverage_95_extinction",
    "coverage_68_ln_density",
    "coverage_95_ln_density",
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
SAMPLES = 25
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


def score(folder, output, *, truth, samples=None, map="map.zarr"):
    scores.score(
        fit_field=folder / "field.h5",
        fit_json=folder / "fit.json",
        map=folder / map,
        samples=samples,
        truth_field=folder / "field.h5" if truth else None,
        truth_map=folder / "truth.zarr" if truth else None,
        train=folder / "train.h5",
        heldout=folder / "heldout.h5",
        output=output,
        predicted=output.with_suffix(".h5"),
        **COMMON,
    )


@pytest.fixture(scope="module")
def sampled(folder):
    """Samples that differ by a tenth in density and in scatter, and scores with them."""
    generator = np.random.default_rng(0)
    levels = np.log(0.8) + 0.1 * generator.normal(size=SAMPLES)
    zero_points = np.tile([ZERO_POINTS[name] for name in "FA"], (SAMPLES, 1))
    samples = Samples(
        [SumField((ConstantMean(jnp.asarray(level)),)) for level in levels],
        {
            "error_inflation": np.exp(0.1 * generator.normal(size=SAMPLES)),
            "floor_mag": np.full(SAMPLES, 0.005),
            "substructure_kpc": np.zeros(SAMPLES),
            "zero_points_mag": zero_points + 0.003 * generator.normal(size=zero_points.shape),
        },
        ("F", "A"),
        PriorVariance(np.linspace(-0.4, 0.4, 5), np.full(5, 1.0), 0.04),
        {"products": np.ones(SAMPLES, int), "missed": np.zeros(SAMPLES)},
        {"name": "fourier-2x2x2", "half_widths_kpc": list(HALF)},
    )
    save_samples(folder / "samples.h5", samples)
    maps.fit_map(
        fit=folder / "field.h5",
        train=folder / "train.h5",
        samples=folder / "samples.h5",
        output=folder / "sampled.zarr",
        **COMMON,
    )
    output = folder / "sampled.json"
    score(folder, output, truth=True, samples=folder / "samples.h5", map="sampled.zarr")
    return samples


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
        "width_catalogue", "width_fitted", "reduced_chi2_catalogue", "reduced_chi2_fitted",
        "baselines", "bias",
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
    for name in ("reduced_chi2_catalogue", "reduced_chi2_fitted"):
        assert heldout[name] == pytest.approx(1, abs=4 * np.sqrt(2 / 150))
    for group in (*heldout["bias"]["distance_kpc"]["bins"], *heldout["bias"]["class"].values()):
        assert group["mean_mag"] == pytest.approx(0, abs=5 * 0.02 / np.sqrt(group["n"]))
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
    # the farther from what was expected, the likelier an outlier
    residual = np.abs(table["extinction"].to_value("mag") - expected)
    outlier = np.asarray(table["outlier_probability"])
    assert np.all((outlier >= 0) & (outlier <= 1))
    assert np.all(np.diff(outlier[np.argsort(residual)]) > -1e-3)


def test_held_out_stars_are_judged_by_all_samples_together(folder, sampled):
    """A slow twin: star by star, sample by sample."""
    table = read_table(folder / "heldout.h5")
    logs, pit, mean = [], [], []
    for row in table:
        distance, observed = row["distance"].to_value("kpc"), row["extinction"].to_value("mag")
        density, below, centres = [], [], []
        for i, field in enumerate(sampled.fields):
            one = {name: values[i] for name, values in sampled.likelihood.items()}
            centre = np.exp(float(field.parts[0].ln_density)) * distance
            centre += one["zero_points_mag"][sampled.class_names.index(str(row["class"]))]
            scale = np.hypot(0.02 * one["error_inflation"], one["floor_mag"])
            density.append(norm.pdf(observed, centre, scale))
            below.append(norm.cdf(observed, centre, scale))
            centres.append(centre)
        logs.append(np.log(np.mean(density)))
        pit.append(np.mean(below))
        mean.append(np.mean(centres))
    found = strict(folder / "sampled.json")
    assert found["heldout"]["log_predictive_density"]["mean"] == pytest.approx(
        np.mean(logs), rel=1e-5
    )
    calibration = found["calibration"]
    assert calibration["samples"] == SAMPLES
    assert calibration["pit"]["ks"] == pytest.approx(kstest(pit, "uniform").statistic, abs=1e-5)
    for percent in (68, 95):
        inside = np.abs(np.asarray(pit) - 0.5) < percent / 200
        entry = calibration["coverage"]["heldout"][f"{percent}"]
        assert entry["share"] == pytest.approx(inside.mean(), abs=1e-9)
    predicted = read_table(folder / "sampled.h5")
    ours = predicted[np.asarray(predicted["heldout"])]
    np.testing.assert_allclose(ours["predicted"].to_value("mag"), mean, rtol=1e-5)
    # a tenth of the extinction beside the stars' own scatter
    spread = 0.1 * 0.8 * table["distance"].to_value("kpc")
    expected = np.sqrt(spread**2 + 0.02**2 + 0.005**2)
    np.testing.assert_allclose(ours["sigma"].to_value("mag"), expected, rtol=0.25)


def test_intervals_of_a_mock_hold_the_truth(folder, sampled):
    found = strict(folder / "sampled.json")
    covered = found["calibration"]["coverage"]
    # one level is all that is uncertain: the same rank everywhere
    below = np.mean([float(f.parts[0].ln_density) < np.log(0.8) for f in sampled.fields])
    assert 0.3 < below < 0.7
    for entry in (
        covered["extinction"],
        covered["column"],
        covered["ln_density"]["all"],
        covered["ln_density"]["informed"],
        covered["ln_density_total"]["all"],
    ):
        assert entry["n"] > 100
        assert entry["68"]["share"] == 1
        assert entry["95"]["standard_error"] == 0
    # a level has no structure: no resolution, no direction
    assert "smoothed_density" not in covered
    assert found["fingers_of_god"]["fit"] is None
    assert "calibration" not in strict(folder / "score.json")


def test_samples_and_a_map_without_them_do_not_go_together(folder, sampled):
    with pytest.raises(ProductError, match="map was made without them; make it again"):
        score(folder, folder / "odd.json", truth=True, samples=folder / "samples.h5")
    assert not (folder / "odd.json").exists()


def test_samples_are_calibrated_on_real_stars_too(folder, sampled):
    output = folder / "real_sampled.json"
    score(folder, output, truth=False, samples=folder / "samples.h5", map="sampled.zarr")
    found = strict(output)
    assert set(found["calibration"]["coverage"]) == {"heldout"}
    scores.compare(scores=[output, folder / "sampled.json"], output=folder / "sampled.csv")
    with (folder / "sampled.csv").open() as file:
        real, mock = csv.DictReader(file)
    assert real["coverage_68_extinction"] == real["coverage_95_ln_density"] == ""
    assert float(mock["coverage_68_ln_density"]) == 1
    heldout = found["calibration"]["coverage"]["heldout"]
    for row in (real, mock):
        assert float(row["coverage_68_heldout"]) == pytest.approx(heldout["68"]["share"], rel=1e-5)
        assert float(row["pit_ks"]) == pytest.approx(found["calibration"]["pit"]["ks"], rel=1e-5)


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
