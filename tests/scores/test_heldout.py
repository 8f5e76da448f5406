"""Scores on stars against brute force and planted offsets."""

import json

import numpy as np
import pytest

from dust3d.observations import Observations
from dust3d.scores.heldout import (
    Prediction,
    advantage,
    class_agreement,
    clustered_mean,
    density_score,
    residual_scores,
    robust_width,
)


def test_stars_that_are_clusters_of_their_own_have_the_plain_standard_error():
    values = np.random.default_rng(0).normal(2, 3, 400)
    mean, error = clustered_mean(values, np.arange(400))
    assert mean == pytest.approx(values.mean(), rel=1e-12)
    assert error == pytest.approx(values.std(ddof=1) / np.sqrt(400), rel=1e-12)


def test_clustered_error_is_that_of_the_sums_over_clusters():
    generator = np.random.default_rng(1)
    cluster = generator.integers(0, 30, 500) * 7
    values = generator.normal(size=30)[cluster // 7] + generator.normal(size=500)
    _, error = clustered_mean(values, cluster)
    groups = [values[cluster == c] - values.mean() for c in np.unique(cluster)]
    slow = np.sqrt(sum(g.sum() ** 2 for g in groups) * len(groups) / (len(groups) - 1)) / 500
    assert error == pytest.approx(slow, rel=1e-12)
    assert error > 2 * clustered_mean(values, np.arange(500))[1]


def test_clustered_error_covers_the_scatter_of_the_mean():
    generator = np.random.default_rng(2)
    cluster = np.repeat(np.arange(50), 10)
    runs = [
        clustered_mean(generator.normal(size=50)[cluster] + generator.normal(size=500), cluster)
        for _ in range(400)
    ]
    means, errors = np.asarray(runs).T
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(means.std(), rel=0.15)


def test_stars_all_alike_or_of_one_cluster_give_scores_that_json_can_hold():
    stars, prediction = made_up(40)
    one = np.zeros(40, dtype=int)
    for score in (density_score(prediction, one), advantage(prediction, prediction, one)):
        assert score["standard_error"] is None
        json.dumps(score, allow_nan=False)
    same = advantage(prediction, prediction, np.arange(40))
    assert same["difference"] == 0
    json.dumps(same, allow_nan=False)
    flat = Prediction(np.full(40, 0.1), prediction.sigma, prediction.log_density)
    assert residual_scores(stars, flat)["correlation"] == 0


def made_up(n, seed=3, offset=(0.0, 0.0)):
    generator = np.random.default_rng(seed)
    positions = generator.uniform(-1, 1, (n, 3))
    classes = np.arange(n) % 2
    truth = np.linalg.norm(positions, axis=1)
    noise = generator.normal(0, 0.06, n)
    observed = truth + noise + np.asarray(offset)[classes]
    stars = Observations(positions, observed, np.full(n, 0.03), classes, ("A", "F"))
    return stars, Prediction(truth, np.full(n, 0.06), -noise)


def test_residual_scores_are_what_they_say():
    stars, prediction = made_up(20_000)
    scores = residual_scores(stars, prediction)
    residual = stars.extinction - prediction.mean
    assert scores["n"] == 20_000
    assert scores["rms_mag"] == pytest.approx(np.sqrt(np.mean(residual**2)), rel=1e-12)
    assert scores["ln_mean_square_residual"] == pytest.approx(2 * np.log(scores["rms_mag"]))
    assert scores["median_absolute_mag"] == pytest.approx(0.6745 * 0.06, rel=0.03)
    # twice the stated error, once the fitted scatter
    assert scores["width_catalogue"] == pytest.approx(2, rel=0.03)
    assert scores["width_fitted"] == pytest.approx(1, rel=0.03)
    assert scores["correlation"] == pytest.approx(
        np.corrcoef(stars.extinction, prediction.mean)[0, 1], rel=1e-12
    )


def test_robust_width_of_normal_numbers_is_their_sigma_whatever_the_outliers():
    values = np.random.default_rng(4).normal(1, 2, 100_000)
    assert robust_width(values) == pytest.approx(2, rel=0.02)
    values[:500] = 1e6
    assert robust_width(values) == pytest.approx(2, rel=0.03)


def test_advantage_is_paired():
    generator = np.random.default_rng(5)
    shared = generator.normal(0, 5, 300)
    one, other = (
        Prediction(shared, shared, shared + 0.1 * generator.normal(size=300) + shift)
        for shift in (0.2, 0.0)
    )
    found = advantage(one, other, np.arange(300))
    assert found["mean"] == pytest.approx(other.log_density.mean())
    assert found["difference"] == pytest.approx(0.2, abs=4 * found["standard_error"])
    assert found["standard_error"] == pytest.approx(0.1 * np.sqrt(2 / 300), rel=0.2)
    assert found["sigmas"] == pytest.approx(found["difference"] / found["standard_error"])


def test_planted_zero_points_show_in_every_shell_and_pair():
    r_v, planted = 3.1, (0.0, 0.031)
    stars, prediction = made_up(8000, offset=planted)
    edges = np.linspace(0, 1.8, 4)
    found = class_agreement(stars, prediction, edges, r_v)
    assert found["distance_edges_kpc"] == edges.tolist()
    for name, offset in zip("AF", planted, strict=True):
        entry = found["classes"][name]
        for j, (low, high) in enumerate(zip(edges, edges[1:], strict=False)):
            inside = (stars.distances >= low) & (stars.distances < high)
            rows = inside & (stars.classes == "AF".index(name))
            assert entry["n"][j] == rows.sum()
            residual = (stars.extinction - prediction.mean)[rows] / r_v
            assert entry["median_ebv"][j] == pytest.approx(np.median(residual))
            assert entry["median_ebv"][j] == pytest.approx(
                offset / r_v, abs=4 * entry["standard_error"][j]
            )
    (pair,) = found["pairs"]
    assert pair["classes"] == ["A", "F"]
    assert pair["difference_ebv"] == pytest.approx(-0.01, abs=4 * pair["standard_error"])
    assert pair["standard_error"] == pytest.approx(1.2533 * 0.06 / 3.1 * np.sqrt(2 / 4000), rel=0.2)


def test_shells_with_few_stars_have_no_median():
    stars, prediction = made_up(60)
    found = class_agreement(stars, prediction, np.array([0.0, 0.05, 5.0]), 3.1)
    entry = found["classes"]["A"]
    assert entry["n"][0] < 20
    assert entry["median_ebv"][0] is None
    assert entry["standard_error"][0] is None
    assert entry["median_ebv"][1] is not None
