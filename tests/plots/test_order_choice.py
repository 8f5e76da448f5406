"""The figure of the choice among orders."""

import numpy as np
import pytest
from tests.plots.helpers import labels, outside, overlaps

from dust3d.plots.order_choice import choice_figure
from dust3d.scores.orders import Candidate, choose

NAMES = [f"fourier-{m}x{m}" for m in (4, 5, 6, 8, 10, 12)] + ["mlp-64x64"]
LN_Z = [-3000.0, -800.0, -20.0, 0.0, -2.0, -9.0, None]


def made(number=7, evidence=True):
    generator = np.random.default_rng(0)
    base = generator.standard_normal(500)
    loss = [-2.0, -0.4, -0.05, -0.002, 0.0, -0.01, -0.2]
    rows = [
        Candidate(
            name,
            100 * i,
            base + away + 0.03 * generator.standard_normal(500),
            value if evidence else None,
            0.5 if i == 2 and evidence else 0.0,
        )
        for i, (name, away, value) in enumerate(zip(NAMES, loss, LN_Z, strict=True), 1)
    ][:number]
    return choose(rows, np.arange(500) // 10)


def shown(ax):
    return np.array([container.lines[0].get_ydata()[0] for container in ax.containers])


@pytest.mark.parametrize("number", [1, 3, len(NAMES)])
def test_the_choice_is_drawn_as_it_was_made(number):
    found = made(number)
    figure = choice_figure(found)
    assert overlaps(figure) == []
    assert outside(figure) == []
    assert "[nats]" in labels(figure)
    assert "[ln (1 / mag)]" in labels(figure)
    evidence, heldout, weights = figure.axes
    known = np.array([value for value in LN_Z[:number] if value is not None])
    np.testing.assert_allclose(shown(evidence), known - known.max())
    expected = [row["heldout"]["difference"] for row in found["fits"]]
    np.testing.assert_allclose(shown(heldout), expected)
    marks = {line.get_label(): line.get_xdata()[0] for line in evidence.lines}
    assert NAMES[marks["most probable"]] == found["evidence"]["winner"]
    marks = {line.get_label(): line.get_xdata()[0] for line in heldout.lines}
    assert NAMES[marks["best"]] == found["heldout"]["best"]
    bars = {c.get_label(): [bar.get_height() for bar in c] for c in weights.containers}
    np.testing.assert_allclose(
        bars["weight in the average"], [row["weight"] for row in found["fits"]]
    )
    np.testing.assert_allclose(np.nansum(bars["probability by evidence"]), 1.0)


def test_runs_without_evidence_show_held_out_stars_alone():
    figure = choice_figure(made(evidence=False))
    assert overlaps(figure) == []
    assert len(figure.axes) == 2
    assert "nats" not in labels(figure)
