"""Densities at a stated resolution, and their ratio."""

import numpy as np
import pytest

from dust3d.scores.smoothing import ratio_scores, smoothed_density


def test_smoothing_keeps_the_mass_and_has_the_stated_width():
    density = np.zeros((40, 40, 40))
    density[20, 20, 20] = 1
    smooth = smoothed_density(density, (0.1, 0.1, 0.1), 0.8)
    assert smooth.sum() == pytest.approx(1, rel=1e-6)
    # half the peak at half the full width
    assert smooth[24, 20, 20] / smooth[20, 20, 20] == pytest.approx(0.5, rel=0.01)


def test_ratios_are_those_of_the_chosen_cells():
    generator = np.random.default_rng(0)
    truth = generator.uniform(1, 2, (20, 500))
    fit = truth * np.exp(generator.normal(0.1, 0.2, truth.shape))
    fit[0] = 1e9
    where = np.ones(truth.shape, dtype=bool)
    where[0] = False
    found = ratio_scores(fit, truth, where)
    assert found["cells"] == 19 * 500
    assert found["median"] == pytest.approx(np.exp(0.1), rel=0.02)
    assert found["p16"] == pytest.approx(np.exp(-0.1), rel=0.02)
    assert found["p84"] == pytest.approx(np.exp(0.3), rel=0.02)
    nowhere = ratio_scores(fit, truth, ~where & (truth > 5))
    assert nowhere == {"cells": 0, "median": None, "p16": None, "p84": None}
