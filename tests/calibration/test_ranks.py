"""Rank statistics where the answer is known: a conjugate Gaussian model, and one planted wrong."""

import numpy as np
import pytest
from scipy.stats import binom

from dust3d.calibration.ranks import (
    UniformBand,
    counts_below,
    coverage,
    distance_rank,
    inner_share,
)

SAMPLES, MOCKS, DIMENSIONS = 63, 300, 4
NOISE = 0.5


def conjugate(generator, shrunk=1.0, mocks=MOCKS, dimensions=DIMENSIONS):
    """Truths ~ N(0, 1), data = truth + noise; samples of the posterior, sds times `shrunk`."""
    truth = generator.standard_normal((mocks, dimensions))
    data = truth + NOISE * generator.standard_normal(truth.shape)
    variance = 1 / (1 + NOISE**-2)
    mean = variance * data / NOISE**2
    noise = generator.standard_normal((mocks, SAMPLES, dimensions))
    samples = mean[:, None] + shrunk * np.sqrt(variance) * noise
    return truth, samples


def ranks_of(truth, samples):
    return np.sum(samples < truth[:, None], axis=1)


def band(level=0.99, mocks=MOCKS):
    return UniformBand(mocks, SAMPLES, level, np.random.default_rng(0))


def test_ranks_of_the_true_posterior_are_inside_and_of_one_too_narrow_outside():
    generator, one = np.random.default_rng(1), band()
    ranks = ranks_of(*conjugate(generator))
    assert all(one.holds(ranks[:, i]) for i in range(DIMENSIONS))
    narrow = ranks_of(*conjugate(generator, shrunk=0.7))
    assert not any(one.holds(narrow[:, i]) for i in range(DIMENSIONS))
    assert max(one.probability(narrow[:, i]) for i in range(DIMENSIONS)) < 0.01


@pytest.mark.parametrize("level", [0.9, 0.99])
def test_the_band_holds_uniform_ranks_as_often_as_it_says(level):
    generator, one, number = np.random.default_rng(2), band(level), 3000
    drawn = generator.integers(0, SAMPLES + 1, (number, MOCKS))
    held = np.mean([one.holds(ranks) for ranks in drawn])
    assert held == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / number) + 0.004)
    # a band for each point alone would hold far fewer
    at = np.arange(1, SAMPLES + 1) / (SAMPLES + 1)
    low, high = (binom.ppf(q, MOCKS, at) for q in ((1 - level) / 2, (1 + level) / 2))
    below = np.array([counts_below(ranks, SAMPLES) for ranks in drawn])
    assert np.mean(np.all((below >= low) & (below <= high), axis=1)) < held - 0.03


def test_inside_means_between_the_ends_of_the_band():
    generator, one = np.random.default_rng(3), band(0.9)
    answers = set()
    for ranks in generator.integers(0, SAMPLES + 1, (300, MOCKS)):
        below = counts_below(ranks, SAMPLES)
        between = bool(np.all((below >= one.lower) & (below <= one.upper)))
        assert one.holds(ranks) == between == (one.probability(ranks) > 0.1 - 1e-9)
        answers.add(between)
    assert answers == {True, False}


def test_counts_below():
    np.testing.assert_array_equal(counts_below(np.array([0, 0, 2, 3]), 3), [2, 2, 3])


@pytest.mark.parametrize("level", [0.68, 0.95])
def test_uniform_ranks_are_covered_exactly_as_the_level_says(level):
    for samples in (15, 63, 100):
        assert inner_share(np.arange(samples + 1), samples, level).mean() == pytest.approx(level)
    # the interval is central, and its end cuts a cell
    share = inner_share(np.arange(64), 63, 0.68)
    assert share[0] == share[-1] == 0
    assert share[32] == 1
    assert 0 < share[10] < 1


def test_coverage_and_its_error_are_those_of_many_repetitions():
    generator = np.random.default_rng(4)
    found = []
    for _ in range(40):
        # places of one mock know each other: their errors do not average out
        truth, samples = conjugate(generator, mocks=100, dimensions=1)
        ranks = np.repeat(ranks_of(truth, samples), 8, axis=1)
        every = np.full(ranks.shape, True)
        options = {"samples": SAMPLES, "level": 0.68, "generator": generator}
        found.append(coverage(ranks, every, **options))
    shares = np.array([one.share for one in found])
    assert shares.mean() == pytest.approx(0.68, abs=4 * shares.std() / np.sqrt(len(shares)))
    assert np.mean([one.standard_error for one in found]) == pytest.approx(shares.std(), rel=0.35)
    assert found[0].counted == 800


def test_coverage_counts_what_counts():
    ranks = np.array([[32, 0], [32, 0], [32, 32]])
    options = {"samples": 63, "level": 0.68, "generator": np.random.default_rng(0)}
    counted = np.array([[True, False], [True, False], [True, True]])
    assert coverage(ranks, counted, **options) == (1.0, 0.0, 4)
    assert coverage(ranks, ~counted, **options).share == 0.0
    assert coverage(ranks, np.full(ranks.shape, False), **options) is None


def distance_ranks(truth, samples, generator):
    references = generator.standard_normal(truth.shape)
    scale = np.ones(truth.shape[1])
    some = zip(truth, samples, references, strict=True)
    return np.array([distance_rank(*one, scale) for one in some])


def test_distances_to_random_points_are_uniform_for_the_true_posterior_alone():
    generator, one = np.random.default_rng(5), band()
    assert one.holds(distance_ranks(*conjugate(generator), generator))
    assert not one.holds(distance_ranks(*conjugate(generator, shrunk=0.7), generator))


def test_distances_see_what_no_scalar_shows():
    """Samples with the right spread in each number, but all numbers moving together."""
    generator, one = np.random.default_rng(6), band()
    truth, samples = conjugate(generator, dimensions=12)
    mean, std = samples.mean(axis=1, keepdims=True), samples.std(axis=1, keepdims=True)
    together = mean + std * generator.standard_normal((MOCKS, SAMPLES, 1))
    assert all(one.probability(r) > 1e-3 for r in ranks_of(truth, together).T)
    assert not one.holds(distance_ranks(truth, together, generator))
