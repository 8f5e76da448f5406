"""r(k), T(k), resolution and truncation against fields whose answers are known."""

import numpy as np
import pytest

from dust3d.fields.modes import fourier_modes
from dust3d.scores.spectra import (
    highest_wavenumber,
    resolution,
    shell_edges,
    shell_scores,
    truncated,
    wavenumber_grid,
)

SHAPE = (32, 32, 16)
VOXEL = (0.05, 0.05, 0.05)
EDGES = np.geomspace(4, 50, 7)


def noise(seed, shape=SHAPE):
    return np.random.default_rng(seed).normal(size=shape)


def low_pass(values, highest):
    spectrum = np.fft.fftn(values)
    spectrum[wavenumber_grid(values.shape, VOXEL) > highest] = 0
    return np.fft.ifftn(spectrum).real


def test_a_field_agrees_with_itself_in_every_shell():
    field = noise(0)
    found = shell_scores(field, field, VOXEL, EDGES)
    np.testing.assert_allclose(found["r"], 1, rtol=1e-12)
    np.testing.assert_allclose(found["transfer"], 1, rtol=1e-12)


def test_amplitude_and_sign_show_in_the_transfer_and_in_r():
    field = noise(0)
    found = shell_scores(field, 3 - 0.5 * field, VOXEL, EDGES)
    np.testing.assert_allclose(found["r"], -1, rtol=1e-9)
    np.testing.assert_allclose(found["transfer"], 0.5, rtol=1e-9)
    np.testing.assert_allclose(found["power_other"], 0.25 * found["power_truth"], rtol=1e-9)


def test_independent_noise_does_not_correlate():
    found = shell_scores(noise(0), noise(1), VOXEL, EDGES)
    # entries come in pairs (k, -k), and the window joins neighbours: about 3 per axis
    independent = np.maximum(1, found["n"] / 2 / 1.5**3)
    assert np.all(np.abs(found["r"]) < 4 / np.sqrt(independent))
    assert np.all(np.abs(found["transfer"][-3:] - 1) < 0.1)


def test_a_low_pass_of_the_truth_agrees_below_its_limit_only():
    field = noise(0)
    found = shell_scores(field, low_pass(field, 20.0), VOXEL, np.array([3.0, 6, 11, 26, 40, 50]))
    below, above = found["k_per_kpc"] < 11, found["k_per_kpc"] > 26
    assert np.all(found["r"][below] > 0.999)
    np.testing.assert_allclose(found["transfer"][below], 1, rtol=0.02)
    assert np.all(found["transfer"][above] < 0.05)


def test_shells_count_the_entries_of_the_transform():
    k = wavenumber_grid(SHAPE, VOXEL)
    found = shell_scores(noise(0), noise(1), VOXEL, EDGES)
    for j, n in enumerate(found["n"]):
        inside = (k >= EDGES[j]) & (k < EDGES[j + 1])
        assert n == inside.sum()
        assert found["k_per_kpc"][j] == pytest.approx(k[inside].mean())


def test_constant_fields_have_no_spectrum_and_no_nan():
    found = shell_scores(np.full(SHAPE, -13.8155), noise(0), VOXEL, EDGES)
    for name in ("r", "transfer"):
        assert np.all(np.isfinite(found[name]))
    found = shell_scores(np.zeros(SHAPE), np.zeros(SHAPE), VOXEL, EDGES)
    assert np.all(found["r"] == 0)


def test_edges_go_from_the_longest_axis_to_the_highest_mode():
    edges = shell_edges(SHAPE, VOXEL, 5, 30.0)
    assert len(edges) == 6
    lowest = 2 * np.pi / 1.6
    assert 0.5 * lowest < edges[0] < lowest
    assert edges[-1] == pytest.approx(30, rel=1e-5)
    np.testing.assert_allclose(edges[1:] / edges[:-1], edges[1] / edges[0])


def test_highest_wavenumber_holds_the_share_of_the_variance():
    field = low_pass(noise(0), 20.0)
    assert highest_wavenumber(field, VOXEL, 1 - 1e-9) == pytest.approx(20, rel=0.1)
    x = np.arange(32) * 2 * np.pi / 32
    waves = 3 * np.cos(2 * x) + 1 * np.cos(5 * x)
    mixed = np.broadcast_to(waves[:, None, None], SHAPE)
    one = 2 * np.pi / 1.6
    assert highest_wavenumber(mixed, VOXEL, 0.89) == pytest.approx(2 * one)
    assert highest_wavenumber(mixed, VOXEL, 0.91) == pytest.approx(5 * one)


@pytest.mark.parametrize(
    ("r", "expected"),
    [
        ([0.9, 0.7, 0.3], np.pi / 2.5),
        ([0.4, 0.9, 0.9], None),
        ([0.9, 0.8, 0.7], np.pi / 3),
        ([0.9, 0.1, 0.9], np.pi / 1.5),
        ([], None),
    ],
)
def test_resolution_is_where_r_first_falls_to_a_half(r, expected):
    found = resolution(np.array([1.0, 2.0, 3.0])[: len(r)], np.asarray(r))
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("ball", [True, False])
@pytest.mark.parametrize("order", [(3, 2, 1), (7, 4, 3), (1, 1, 2)])
def test_truncation_is_the_sum_over_its_modes(ball, order):
    values = noise(0, (16, 10, 8))
    axes = [2 * np.pi * np.arange(n) / n for n in values.shape]
    angles = np.stack(np.meshgrid(*axes, indexing="ij"))
    slow = np.full(values.shape, values.mean())
    for mode in fourier_modes(order, ball):
        phase = np.tensordot(mode, angles, 1)
        for wave in (np.cos(phase), np.sin(phase)):
            slow += wave * np.sum(wave * values) / np.sum(wave**2)
    np.testing.assert_allclose(truncated(values, order, ball), slow, atol=1e-12)


def test_truncation_twice_is_once_and_a_full_order_keeps_all():
    values = noise(0, (15, 9, 7))
    once = truncated(values, (3, 2, 1), True)
    np.testing.assert_allclose(truncated(once, (3, 2, 1), True), once, atol=1e-12)
    np.testing.assert_allclose(truncated(values, (7, 4, 3), False), values, atol=1e-12)
