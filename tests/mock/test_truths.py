"""Known skies: moments of what is drawn against what the configuration states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dust3d.config.base import Box
from dust3d.config.mock import (
    Cavity,
    Clouds,
    Disc,
    FourierTruth,
    StructuredTruth,
    Turbulence,
    UniformTruth,
)
from dust3d.errors import ConfigError
from dust3d.fields import structured
from dust3d.mock.truths import draw_truth, relative_amplitudes

BOX = Box(half_widths_kpc=(10.0, 10.0, 2.0))
FLAT = Box(half_widths_kpc=(3.0, 2.0))


def coefficients(field):
    return np.concatenate([field.parts[1].cos, field.parts[1].sin])


@pytest.mark.parametrize("outer_scale_kpc", [None, 4.0])
def test_variance_of_the_drawn_field_is_the_stated_one(outer_scale_kpc):
    truth = FourierTruth(
        kind="fourier", order=(4, 4, 2), std=1.4, slope=1.8, outer_scale_kpc=outer_scale_kpc
    )
    rng = np.random.default_rng(3)
    draws = [draw_truth(truth, BOX, seed) for seed in range(300)]
    # one point of each: independent draws
    points = jnp.asarray(rng.uniform(-1, 1, (300, 3)) * [10, 10, 2])
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *draws)
    values = jax.jit(jax.vmap(lambda f, x: f(x)))(stacked, points)
    assert np.mean(values) == pytest.approx(0, abs=4 * 1.4 / np.sqrt(300))
    assert np.var(values) == pytest.approx(1.4**2, abs=4 * 1.4**2 * np.sqrt(2 / 300))


def test_amplitudes_follow_the_power_law():
    # normalised coefficients of many modes are N(0, 1) in every range of k
    truth = FourierTruth(kind="fourier", order=(10, 10, 3), slope=1.8)
    series = draw_truth(truth, BOX, 5).parts[1]
    k = np.linalg.norm(np.pi * series.modes / np.array([10, 10, 2]), axis=1)
    norm = 1 / np.sqrt(np.sum(k**-3.6))
    for low, high in ((0, 1.5), (1.5, 2.5), (2.5, 10)):
        chosen = (k >= low) & (k < high)
        whitened = np.concatenate([series.cos[chosen], series.sin[chosen]])
        whitened /= norm * np.tile(k[chosen] ** -1.8, 2)
        n = len(whitened)
        assert n > 50
        assert np.mean(whitened**2) == pytest.approx(1, abs=4 * np.sqrt(2 / n))


def test_a_drawn_mean_counts_as_a_mode_of_unit_wave_number():
    truth = FourierTruth(kind="fourier", order=(2, 2, 1), draw_mean=True, std=1.0)
    means = np.array([float(draw_truth(truth, BOX, s).parts[0].ln_density) for s in range(200)])
    modes = draw_truth(truth, BOX, 0).parts[1].modes
    amplitudes = relative_amplitudes(modes, BOX.half_widths_kpc, 1.8, None)
    variance = 1 / (1 + np.sum(amplitudes**2))
    assert np.mean(means) == pytest.approx(0, abs=4 * np.sqrt(variance / 200))
    assert np.var(means) == pytest.approx(variance, abs=4 * variance * np.sqrt(2 / 200))


def test_without_it_the_mean_is_the_stated_one():
    truth = FourierTruth(kind="fourier", order=(3, 3), mean_density_mag_per_kpc=0.4)
    field = draw_truth(truth, FLAT, 1)
    axes = [np.linspace(-h, h, 24, endpoint=False) for h in FLAT.half_widths_kpc]
    ln_rho = field.on_grid([jnp.asarray(a) for a in axes])
    assert np.mean(ln_rho) == pytest.approx(np.log(0.4), abs=1e-10)


def test_the_outer_scale_flattens_the_spectrum():
    modes = np.array([[1, 0, 0], [10, 0, 0]])
    steep = relative_amplitudes(modes, (10.0, 10.0, 2.0), 1.8, None)
    assert steep[0] / steep[1] == pytest.approx(10**1.8, rel=1e-12)
    flat = relative_amplitudes(modes, (10.0, 10.0, 2.0), 1.8, 1e-3)
    assert flat[0] / flat[1] == pytest.approx(1, rel=1e-6)


def test_seeds_decide():
    truth = FourierTruth(kind="fourier", order=(3, 3, 1), draw_mean=True)
    first, again, other = (coefficients(draw_truth(truth, BOX, s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.any(first == other)


def test_a_uniform_truth_is_uniform():
    field = draw_truth(UniformTruth(kind="uniform", density_mag_per_kpc=0.3), BOX, 0)
    values = field.at(jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (5, 3))))
    np.testing.assert_allclose(np.exp(values), 0.3, rtol=1e-12)


FEW = Clouds(number=5)


def structured_truth(ndim, clouds=FEW, filaments=FEW):
    return StructuredTruth(
        kind="structured",
        disc=Disc(midplane_density_mag_per_kpc=0.7),
        turbulence=Turbulence(order=(4, 4, 4)[:ndim], std=0.8),
        clouds=clouds,
        filaments=filaments,
        cavity=Cavity(),
    )


@pytest.mark.parametrize("ndim", [2, 3])
def test_density_of_a_structured_truth_is_positive_everywhere(ndim):
    box = Box(half_widths_kpc=(0.75, 0.75, 0.5)[:ndim])
    field = draw_truth(structured_truth(ndim), box, 4)
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (500, ndim)) * box.half_widths_kpc
    points[0] = 0
    rho = np.exp(field.at(jnp.asarray(points)))
    assert np.all(np.isfinite(rho))
    assert np.all(rho > 0)


def test_turbulence_keeps_the_mean_density_of_the_layer():
    truth = StructuredTruth(
        kind="structured", turbulence=Turbulence(order=(2, 2, 2), std=0.7), disc=Disc()
    )
    box = Box(half_widths_kpc=(0.75, 0.75, 0.75))
    place = jnp.array([0.3, 0.1, truth.disc.offset_kpc])
    draws = [draw_truth(truth, box, seed) for seed in range(400)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *draws)
    rho = np.exp(jax.jit(jax.vmap(lambda f: f(place)))(stacked))
    standard_error = 0.7 * np.sqrt((np.exp(0.7**2) - 1) / 400)
    assert np.mean(rho) == pytest.approx(0.7, abs=4 * standard_error)


def test_turbulence_is_not_periodic_in_the_box():
    truth = StructuredTruth(kind="structured", turbulence=Turbulence(order=(4, 4, 4)))
    field = draw_truth(truth, Box(half_widths_kpc=(0.75, 0.75, 0.75)), 4)
    faces = jnp.array([[-0.75, 0.2, 0.0], [0.75, 0.2, 0.0]])
    low, high = field.at(faces)
    assert abs(float(low - high)) > 0.05


def test_clouds_keep_to_their_ranges_and_leave_the_cavity_empty():
    box = Box(half_widths_kpc=(0.75, 0.75, 0.75))
    clouds = Clouds(number=300, peak_ratio=(5, 80), radius_kpc=(0.01, 0.04), length_kpc=(0.1, 0.3))
    truth = structured_truth(3, clouds=clouds, filaments=clouds)
    field = draw_truth(truth, box, 9)
    parts = [part for part in field.added if isinstance(part, structured.Filaments)]
    for part, stretched in zip(parts, (False, True), strict=True):
        ratio = np.exp(part.ln_peak) / 0.7
        assert 5 <= ratio.min() < 10
        assert 40 < ratio.max() <= 80
        length = 2 * np.linalg.norm(part.half, axis=1)
        assert np.all((length >= 0.1) & (length <= 0.3)) if stretched else np.all(length == 0)
        assert np.all(np.abs(part.middle) <= 0.75)
        assert np.abs(part.middle).max() > 0.7
    # the ends of filaments, too, stay outside
    ends = np.concatenate([parts[1].middle + parts[1].half, parts[1].middle - parts[1].half])
    assert np.linalg.norm(ends, axis=1).min() > 0.12
    assert np.exp(field(jnp.zeros(3))) < 0.7


def test_clouds_that_find_no_place_are_refused():
    big = Clouds(number=2, radius_kpc=(5.0, 6.0))
    with pytest.raises(ConfigError, match=r"mock\.truth\.clouds.*make them smaller"):
        draw_truth(structured_truth(3, clouds=big), Box(half_widths_kpc=(0.75, 0.75, 0.75)), 1)
