"""The choice among fits: closed forms of probabilities, weights and paired errors."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from dust3d.scores.orders import Candidate, choose, probabilities, stacking_weights


def densities(n=400, seed=0):
    """Three Gaussian models of normal numbers: one right, one too wide, one off."""
    x = np.random.default_rng(seed).standard_normal(n)
    return np.stack([norm.logpdf(x), norm.logpdf(x, scale=1.6), norm.logpdf(x, loc=1.0)])


def test_probabilities_are_ratios_of_evidence():
    found = probabilities(np.array([-1000.0, -1001.0, -1003.0]), np.zeros(3))
    expected = np.exp([0.0, -1.0, -3.0])
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-12)


def test_uncertain_evidence_is_averaged_over():
    found = probabilities(np.array([0.0, -2.0]), np.array([0.0, 3.0]))
    # E[1 / (1 + exp(x))] of x ~ N(-2, 3^2), by quadrature
    x, w = np.polynomial.hermite_e.hermegauss(60)
    expected = np.sum(w / (1 + np.exp(-2 + 3 * x))) / w.sum()
    assert found[0] == pytest.approx(expected, abs=0.02)
    assert found.sum() == pytest.approx(1, rel=1e-12)


def test_stacking_finds_the_mixture_with_the_highest_density():
    rows = densities()
    found = stacking_weights(rows)

    def cost(free):
        return -np.mean(np.log(np.array([free[0], free[1], 1 - free.sum()]) @ np.exp(rows)))

    slow = minimize(
        cost,
        [0.3, 0.3],
        bounds=[(0, 1)] * 2,
        constraints={"type": "ineq", "fun": lambda w: 1 - w.sum()},
        method="SLSQP",
        options={"ftol": 1e-12},
    )
    assert -np.mean(np.log(found @ np.exp(rows))) == pytest.approx(slow.fun, abs=1e-5)
    assert found.sum() == pytest.approx(1, rel=1e-12)


def test_stacking_is_not_misled_by_tiny_densities():
    rows = np.array([[-2000.0, -1.0], [-1.0, -2000.0]])
    np.testing.assert_allclose(stacking_weights(rows), [0.5, 0.5], rtol=1e-6)


def candidates(rows, evidence=(None, None, None)):
    return [
        Candidate(f"fourier-{i}x{i}", 10 * i, row, value, 0.0)
        for i, (row, value) in enumerate(zip(rows, evidence, strict=False), 1)
    ]


def test_a_choice_by_evidence_and_by_held_out_stars():
    generator = np.random.default_rng(1)
    n = 900
    shared = generator.normal(0, 5, n)
    # the second is best; the first loses by less than the error of the difference, the third more
    rows = shared + np.stack([generator.normal(-0.01, 1, n), np.zeros(n), np.full(n, -0.5)])
    cluster = np.arange(n)
    found = choose(candidates(rows, (-50.0, -40.0, -41.0)), cluster)
    first, second, third = found["fits"]
    assert first["heldout"]["difference"] == pytest.approx(np.mean(rows[0] - rows[1]))
    error = np.std(rows[0] - rows[1]) / np.sqrt(n)
    assert first["heldout"]["difference_error"] == pytest.approx(error, rel=2e-3)
    # what stars share cancels in pairs
    assert error < 0.3 * first["heldout"]["standard_error"]
    assert second["heldout"]["difference"] == second["heldout"]["difference_error"] == 0
    assert third["heldout"]["difference"] == pytest.approx(-0.5)
    assert found["heldout"]["best"] == "fourier-2x2"
    assert found["heldout"]["simplest_within_one_standard_error"] == "fourier-1x1"
    assert found["heldout"]["within_one_standard_error"] == ["fourier-1x1", "fourier-2x2"]
    assert found["average"]["several_are_close"]
    assert found["evidence"]["winner"] == "fourier-2x2"
    assert found["evidence"]["ahead"]["of"] == "fourier-3x3"
    assert found["evidence"]["ahead"]["difference"] == pytest.approx(1.0)
    assert found["evidence"]["probabilities"]["fourier-2x2"] == pytest.approx(
        1 / (1 + np.exp(-1) + np.exp(-10))
    )
    json.dumps(found, allow_nan=False)


def test_stars_of_one_patch_count_as_one_in_errors_of_differences():
    rows = np.repeat(densities(n=50), 8, axis=1)
    alone = choose(candidates(rows), np.arange(400))["fits"][1]["heldout"]["difference_error"]
    patched = choose(candidates(rows), np.arange(400) // 8)["fits"][1]["heldout"]
    assert patched["difference_error"] == pytest.approx(np.sqrt(8) * alone, rel=0.02)


def test_a_clear_winner_without_evidence():
    found = choose(candidates(densities(4000)), np.arange(4000))
    assert found["evidence"] is None
    assert found["heldout"]["best"] == "fourier-1x1"
    assert found["heldout"]["within_one_standard_error"] == ["fourier-1x1"]
    assert not found["average"]["several_are_close"]
    assert found["average"]["weights"]["fourier-1x1"] > 0.9
    assert found["average"]["gain"] >= -1e-5


def test_one_fit_is_its_own_winner():
    found = choose(candidates(densities()[:1], (-3.0,)), np.arange(400))
    assert found["evidence"] == {
        "winner": "fourier-1x1",
        "ahead": None,
        "probabilities": {"fourier-1x1": 1.0},
    }
    assert found["average"]["weights"] == {"fourier-1x1": 1.0}


def test_fits_that_are_far_off_weigh_nothing_and_do_no_harm():
    rows = np.concatenate([densities(), densities()[:1] - 3000])
    found = choose(
        [Candidate(f"fourier-{i}x{i}", i, row) for i, row in enumerate(rows, 1)], np.arange(400)
    )
    assert found["average"]["weights"]["fourier-4x4"] < 1e-100
    assert np.isfinite(found["average"]["gain"])
