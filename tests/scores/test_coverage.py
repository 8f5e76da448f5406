"""Coverage of intervals: exact for any number of samples, and planted failures are found."""

import json

import numpy as np
import pytest
from scipy.stats import norm

from dust3d.scores.coverage import Ranks, coverage, normal_inside, pit_inside


def ranked(truth, samples):
    ranks = Ranks(truth)
    for sample in samples:
        ranks.add(sample)
    return ranks


@pytest.mark.parametrize("share", [0.68, 0.95])
@pytest.mark.parametrize("number", [8, 31, 63, 100])
def test_of_all_ranks_the_stated_share_is_inside_whatever_the_number(number, share):
    """Truths one in each gap between n samples, each as likely: the mean is exact."""
    truth = np.arange(number + 1) - 0.5
    inside = ranked(truth, [np.full(number + 1, float(i)) for i in range(number)]).inside(share)
    assert inside.mean() == pytest.approx(share, rel=1e-12)
    np.testing.assert_allclose(inside, inside[::-1], atol=1e-12)
    # only the ranks on the interval's edge are cut
    assert np.sum((inside > 0) & (inside < 1)) <= 2
    assert inside[number // 2] == 1


@pytest.mark.parametrize(("width", "holds"), [(1.0, True), (0.7, False), (1.4, False)])
def test_samples_from_the_truths_own_distribution_cover_and_others_do_not(width, holds):
    generator = np.random.default_rng(0)
    n, centre = 20_000, generator.normal(size=20_000)
    truth = centre + generator.normal(size=n)
    ranks = ranked(truth, centre + width * generator.normal(size=(31, n)))
    found = coverage(ranks.inside, np.arange(n))
    for share in (0.68, 0.95):
        entry = found[f"{100 * share:.0f}"]
        error = np.sqrt(share * (1 - share) / n)
        assert bool(abs(entry["share"] - share) < 4 * error) is holds
        # parts of ranks scatter less than whole ones, if anything
        if holds:
            assert 0.8 * error < entry["standard_error"] < 1.1 * error
    if not holds:
        assert (found["68"]["share"] < 0.68) is (width < 1)


def test_errors_are_those_of_clusters():
    generator = np.random.default_rng(1)
    cluster = np.repeat(np.arange(200), 20)
    truth = generator.normal(size=200)[cluster]
    ranks = ranked(truth, generator.normal(size=(63, 200))[:, cluster])
    error = coverage(ranks.inside, cluster)["68"]["standard_error"]
    assert error == pytest.approx(np.sqrt(0.68 * 0.32 / 200), rel=0.15)
    assert error > 3 * coverage(ranks.inside, np.arange(4000))["68"]["standard_error"]


def test_intervals_of_transforms_and_of_gaussians():
    generator = np.random.default_rng(2)
    error, std = generator.normal(size=50_000), np.full(50_000, 0.5)
    for width, inside in ((1.0, pit_inside(norm.cdf(error))), (0.5, normal_inside(error, std))):
        for share in (0.68, 0.95):
            expected = 2 * norm.cdf(width * norm.ppf(0.5 + share / 2)) - 1
            assert inside(share).mean() == pytest.approx(expected, abs=0.01)


def test_only_chosen_values_count_and_none_is_no_share():
    inside = normal_inside(np.array([0.0, 9.0, 0.0]), np.ones(3))
    where = np.array([True, False, True])
    found = coverage(inside, np.arange(3), where)
    assert found["n"] == 2
    assert found["68"] == {"share": 1.0, "standard_error": 0.0}
    empty = coverage(inside, np.arange(3), np.zeros(3, dtype=bool))
    assert empty == {"n": 0} | {p: {"share": None, "standard_error": None} for p in ("68", "95")}
    json.dumps(empty, allow_nan=False)


def test_values_on_a_grid_are_ranked_cell_by_cell():
    truth = np.zeros((3, 4))
    ranks = ranked(truth, [np.full((3, 4), x) for x in (-1.0, 1.0)])
    found = coverage(ranks.inside, np.arange(12).reshape(3, 4), np.eye(3, 4, dtype=bool))
    assert found["n"] == 3
    assert found["68"]["share"] == 1
