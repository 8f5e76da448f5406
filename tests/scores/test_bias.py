"""Residuals in bins: planted biases show where they were planted."""

import json

import numpy as np
import pytest

from dust3d.observations import Observations
from dust3d.scores.bias import bias_in_bins, residual_bias
from dust3d.scores.heldout import Prediction, clustered_mean

N = 6000


def made_up(bias, ndim=3, seed=0):
    """Residuals that are noise of 0.05 mag and a bias(positions, classes)."""
    generator = np.random.default_rng(seed)
    positions = generator.uniform(-1, 1, (N, ndim))
    classes = np.arange(N) % 2
    noise = generator.normal(0, 0.05, N)
    stars = Observations(
        positions, bias(positions, classes) + noise, np.full(N, 0.05), classes, ("A", "F", "none")
    )
    nothing = np.zeros(N)
    return stars, Prediction(nothing, np.full(N, 0.05), nothing)


def latitude(positions):
    return np.degrees(np.arcsin(np.abs(positions[:, 2]) / np.linalg.norm(positions, axis=1)))


@pytest.mark.parametrize(
    ("name", "quantity"),
    [("distance_kpc", lambda p: np.linalg.norm(p, axis=1)), ("latitude_deg", latitude)],
)
def test_a_bias_with_place_shows_in_its_bins(name, quantity):
    stars, prediction = made_up(lambda p, _: 0.01 * quantity(p))
    found = residual_bias(stars, prediction, np.arange(N))
    table = found[name]
    values = quantity(stars.positions)
    assert table["edges"][0] == pytest.approx(values.min())
    assert table["edges"][-1] == pytest.approx(values.max())
    for low, high, entry in zip(table["edges"], table["edges"][1:], table["bins"], strict=False):
        some = (values >= low - 1e-9) & (values < high - 1e-9)
        assert entry["n"] == pytest.approx(N / 6, abs=2)
        expected = 0.01 * values[some].mean()
        assert entry["mean_mag"] == pytest.approx(expected, abs=4 * entry["standard_error_mag"])
        assert entry["median_mag"] == pytest.approx(expected, abs=6 * entry["standard_error_mag"])
    json.dumps(found, allow_nan=False)


def test_a_bias_of_a_class_is_that_classs():
    stars, prediction = made_up(lambda _, c: np.where(c == 1, 0.02, 0.0))
    found = residual_bias(stars, prediction, np.arange(N))["class"]
    assert set(found) == {"A", "F"}
    for name, expected in (("A", 0.0), ("F", 0.02)):
        assert found[name]["mean_mag"] == pytest.approx(
            expected, abs=4 * found[name]["standard_error_mag"]
        )
        assert found[name]["standard_error_mag"] == pytest.approx(0.05 / np.sqrt(N / 2), rel=0.05)


def test_errors_are_those_of_clusters():
    generator = np.random.default_rng(1)
    cluster = generator.integers(0, 50, 600)
    residual = generator.normal(size=50)[cluster]
    values = generator.uniform(size=600)
    (entry, *_) = bias_in_bins(residual, values, cluster, 2)["bins"]
    first = values < np.quantile(values, 0.5, method="inverted_cdf")
    expected = clustered_mean(residual[first], cluster[first])
    assert (entry["mean_mag"], entry["standard_error_mag"]) == pytest.approx(expected)


def test_flat_runs_have_no_latitudes_and_few_stars_no_empty_bins():
    stars, prediction = made_up(lambda _, c: 0.0 * c, ndim=2)
    assert "latitude_deg" not in residual_bias(stars, prediction, np.arange(N))
    assert bias_in_bins(np.zeros(5), np.ones(5), np.arange(5)) is None
    few = bias_in_bins(np.zeros(3), np.array([1.0, 2.0, 4.0]), np.arange(3))
    assert all(entry["n"] for entry in few["bins"])
    assert sum(entry["n"] for entry in few["bins"]) == 3
    json.dumps(few, allow_nan=False)
