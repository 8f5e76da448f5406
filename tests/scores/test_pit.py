"""Probability integral transforms: uniform where they must be, and not where they must not."""

import json

import numpy as np
import pytest
from scipy.stats import kstest

from dust3d.scores.family import Family
from dust3d.scores.mixture import Mixture
from dust3d.scores.pit import effective_number, pit_scores

EACH = np.arange(4000)


def transforms(family, width, n=4000, seed=0):
    """Of draws from the family with a scale of 0.1, where `width` of that is claimed."""
    generator = np.random.default_rng(seed)
    nu = family.degrees_of_freedom
    unit = generator.normal(size=n) if nu is None else generator.standard_t(nu, n)
    mean = generator.uniform(0, 1, n)
    mixture = Mixture(family, np.ones(1), mean[None], np.full((1, n), 0.1 * width))
    return mixture.cdf(mean + 0.1 * unit)


@pytest.mark.parametrize("family", [Family(None), Family(4.0)])
def test_right_distributions_give_uniform_transforms(family):
    found = pit_scores(transforms(family, 1.0), EACH)
    assert found["p"] > 0.01
    assert found["ks"] < 1.63 / np.sqrt(4000)
    assert sum(found["histogram"]) == pytest.approx(1)
    np.testing.assert_allclose(found["histogram"], 0.05, atol=4 * np.sqrt(0.05 * 0.95 / 4000))


@pytest.mark.parametrize("width", [0.7, 1.4])
@pytest.mark.parametrize("family", [Family(None), Family(4.0)])
def test_wrong_widths_are_found(family, width):
    found = pit_scores(transforms(family, width), EACH)
    assert found["p"] < 1e-3
    # too narrow: both ends are full; too wide: the middle
    ends, middle = found["histogram"][0] + found["histogram"][-1], sum(found["histogram"][9:11])
    assert (ends > middle) is (width < 1)


def test_the_wrong_family_is_found():
    assert pit_scores(transforms(Family(4.0), 1.0), EACH)["p"] > 0.01
    generator = np.random.default_rng(1)
    mixture = Mixture(Family(None), np.ones(1), np.zeros((1, 4000)), np.ones((1, 4000)))
    assert pit_scores(mixture.cdf(generator.standard_t(4, 4000)), EACH)["p"] < 1e-3


def test_p_of_independent_stars_is_that_of_kolmogorov_and_smirnov():
    for seed, shift in ((0, 0.0), (1, 0.01), (2, 0.02), (3, 0.03)):
        pit = np.clip(np.random.default_rng(seed).uniform(size=2000) + shift, 0, 1)
        expected = kstest(pit, "uniform").pvalue
        assert pit_scores(pit, np.arange(2000))["p"] == pytest.approx(expected, abs=0.05)


def test_copies_count_once():
    one = np.random.default_rng(2).uniform(size=300)
    number = effective_number(np.repeat(one, 10), np.repeat(np.arange(300), 10))
    assert number == pytest.approx(300, rel=0.02)
    # independent ones count all, but for the scatter of the estimate
    assert effective_number(one, np.arange(300)) == pytest.approx(300, rel=0.02)


def test_p_is_honest_for_stars_that_go_together():
    """Stars of one pixel share most of their deviation: p is uniform; naively it is not."""
    generator = np.random.default_rng(3)
    cluster = np.repeat(np.arange(100), 15)
    honest, naive = [], []
    for _ in range(200):
        shared = generator.normal(size=100)[cluster]
        unit = np.sqrt(0.5) * (shared + generator.normal(size=1500))
        pit = Family(None).cdf(unit)
        honest.append(pit_scores(pit, cluster)["p"])
        naive.append(kstest(pit, "uniform").pvalue)
    assert np.mean(np.asarray(naive) < 0.05) > 0.4
    assert np.mean(np.asarray(honest) < 0.05) == pytest.approx(0.05, abs=0.05)
    assert kstest(honest, "uniform").pvalue > 0.01


def test_one_pixel_alone_tells_no_p():
    found = pit_scores(np.linspace(0.01, 0.99, 30), np.zeros(30, int))
    assert found["p"] is None
    assert found["n_effective"] is None
    json.dumps(found, allow_nan=False)
