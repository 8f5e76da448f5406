"""Recovery of a planted truth: perfect, offset, truncated and absent fits."""

import json

import numpy as np
import pytest
import xarray as xr

from dust3d.scores.recovery import recovery
from dust3d.scores.spectra import truncated
from dust3d.transforms.grid import cell_centres

HALF = (1.0, 1.0, 0.5)
CELLS = (24, 24, 12)


def as_map(ln_density, half_widths=HALF):
    """A map that holds what recovery reads."""
    axes = [cell_centres(h, n) for h, n in zip(half_widths, ln_density.shape, strict=True)]
    if len(axes) == 2:
        axes, ln_density = [*axes, np.zeros(1)], ln_density[..., None]
    dims = ("x", "y", "z")
    values = {"ln_density": (dims, ln_density), "density": (dims, np.exp(ln_density))}
    return xr.Dataset(values, dict(zip(dims, axes, strict=True)))


def smooth_noise(seed, shape=CELLS):
    generator = np.random.default_rng(seed)
    order = tuple(min(5, n // 2 - 1) for n in shape)
    values = truncated(generator.normal(size=shape), order, True)
    return values / values.std()


def scores(truth, fit, order=(2, 2, 1), half_widths=HALF):
    found = recovery(
        as_map(truth, half_widths),
        as_map(fit, half_widths),
        half_widths=half_widths,
        fraction=0.8,
        shells=5,
        order=order,
        ball=True,
    )
    json.dumps(found, allow_nan=False)
    return found


def test_a_perfect_fit_has_nothing_wrong():
    truth = smooth_noise(0)
    found = scores(truth, truth)
    assert found["correlation"] == pytest.approx(1)
    assert found["rms"] == 0
    assert found["bias"] == 0
    np.testing.assert_allclose(found["shells"]["r"], 1)
    np.testing.assert_allclose(found["shells"]["transfer"], 1)
    np.testing.assert_allclose(found["distance"]["rms"], 0)
    assert found["smoothed_density"]["correlation"] == pytest.approx(1)
    assert found["smoothed_density"]["median_ratio"] == pytest.approx(1)
    # never below 0.5: the resolution is that of the last shell
    assert found["resolution_kpc"] == pytest.approx(np.pi / found["shells"]["k_per_kpc"][-1])


def test_an_offset_is_a_bias_and_no_loss_of_correlation():
    truth = smooth_noise(0)
    found = scores(truth, truth + 0.3)
    assert found["bias"] == pytest.approx(0.3)
    assert found["rms"] == pytest.approx(0.3)
    assert found["correlation"] == pytest.approx(1)
    np.testing.assert_allclose(found["distance"]["bias"], 0.3)
    assert found["smoothed_density"]["median_ratio"] == pytest.approx(np.exp(0.3))


def test_the_truncated_truth_is_its_own_ceiling():
    truth = smooth_noise(0)
    found = scores(truth, truncated(truth, (2, 2, 1), True))
    assert 0.1 < found["correlation"] < 0.95
    assert found["correlation"] == pytest.approx(found["correlation_ceiling"], rel=1e-9)
    assert found["rms"] == pytest.approx(found["rms_ceiling"], rel=1e-9)
    assert found["resolution_kpc"] == found["resolution_ceiling_kpc"]
    np.testing.assert_allclose(found["shells"]["r"], found["shells"]["r_ceiling"], rtol=1e-9)
    np.testing.assert_allclose(
        found["shells"]["transfer"], found["shells"]["transfer_ceiling"], rtol=1e-9
    )
    np.testing.assert_allclose(
        found["shells"]["power_ratio"],
        np.divide(found["shells"]["power_fit"], found["shells"]["power_truth"]),
    )


def test_independent_noise_recovers_nothing():
    found = scores(smooth_noise(0), smooth_noise(1))
    assert abs(found["correlation"]) < 0.2
    assert found["rms"] == pytest.approx(np.sqrt(2), rel=0.2)


def test_networks_have_no_ceiling():
    found = scores(smooth_noise(0), smooth_noise(0), order=None)
    assert "correlation_ceiling" not in found
    assert "r_ceiling" not in found["shells"]


def test_cells_beyond_the_fraction_do_not_count():
    truth = smooth_noise(0)
    fit = truth.copy()
    x = cell_centres(HALF[0], CELLS[0])
    fit[np.abs(x) > 0.8] += 5
    assert scores(truth, fit)["rms"] == 0


def test_a_flat_map_has_two_axes():
    truth = smooth_noise(0, (24, 24))
    found = scores(truth, truth, (2, 2), HALF[:2])
    assert found["correlation"] == pytest.approx(1)
    assert found["distance"]["edges_kpc"][-1] == pytest.approx(0.8 * np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("level", [-13.815510557964274, 0.0])
def test_a_truth_without_structure_has_no_correlation(level):
    truth = np.full(CELLS, level)
    for fit in (smooth_noise(1), np.full(CELLS, level + 0.1)):
        found = scores(truth, fit)
        assert found["correlation"] == 0
        assert found["correlation_ceiling"] == 0
        assert found["resolution_kpc"] is None


def test_where_the_stars_tell_the_ratio_of_densities_is_stated():
    truth = smooth_noise(0)
    fit = truth.copy()
    fit[CELLS[0] // 2 :] += np.log(1.2)
    maps = [as_map(values) for values in (truth, fit)]
    info = np.full(CELLS, 0.9)
    # near the step, where smoothing mixes, nothing is known
    info[: CELLS[0] // 2 + 4] = 0.1
    info[-6:] = 0.1
    maps[1]["info"] = (("x", "y", "z"), info)
    settings = {"half_widths": HALF, "fraction": 0.8, "shells": 5, "order": None, "ball": True}
    found = recovery(*maps, **settings)["smoothed_density"]
    assert found["informed"]["cells"] > 100
    assert found["informed"]["median"] == pytest.approx(1.2, rel=0.02)
    assert "informed" not in recovery(maps[0], maps[0], **settings)["smoothed_density"]
