import numpy as np
import pytest
from matplotlib.colors import to_hex
from tests.plots.helpers import drawn, outside, overlaps

from dust3d.calibration.summary import summary
from dust3d.plots.calibration import calibration_figure
from dust3d.plots.style import BLUE, VERMILION

NAMES = [f"ln_density_{i}" for i in range(12)]


@pytest.fixture(scope="module")
def found():
    """Uniform ranks; those of the last scalar are all low."""
    generator, outcomes = np.random.default_rng(0), []
    for _ in range(100):
        ranks = {name: int(generator.integers(0, 64)) for name in NAMES}
        ranks[NAMES[-1]] //= 2
        places = {
            key: generator.integers(0, 64, 8).tolist()
            for key in ("ln_density_ranks", "extinction_ranks")
        }
        fit = {"newton_steps": 5, "gain_left": 0.0, "missed": 0.0, "nodes": 16, "seconds": 1.0}
        ranked = {"ranks": ranks, "z": dict.fromkeys(NAMES, 0.1), "distance_rank": 7}
        outcomes.append(ranked | places | fit | {"known": [True] * 4 + [False] * 4})
    return summary(outcomes, samples=63, level=0.99, seed=0)


def test_every_scalar_has_its_panel_and_what_strays_its_colour(found):
    figure = drawn(calibration_figure(found))
    assert overlaps(figure) == []
    assert outside(figure) == []
    panels = {ax.get_title(): ax for ax in figure.axes}
    assert {name.replace("_", " ") for name in found["scalars"]} | {"coverage"} == set(panels)
    for name, scalar in found["scalars"].items():
        line = panels[name.replace("_", " ")].lines[-1]
        assert to_hex(line.get_color()).upper() == (BLUE if scalar["inside"] else VERMILION)
        np.testing.assert_allclose(
            np.asarray(line.get_ydata()) + np.arange(1, 64) / 64, np.array(scalar["below"]) / 100
        )
    assert not found["scalars"][NAMES[-1]]["inside"]


def test_coverage_of_nothing_is_left_out(found):
    none = found["coverage"] | {"ln_density_known": {"0.68": None, "0.95": None}}
    figure = drawn(calibration_figure(found | {"coverage": none}))
    assert overlaps(figure) == []
