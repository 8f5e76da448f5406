"""Priors: the spread they state, and the way back from a field to white noise."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dust3d.fields.fourier import FourierField
from dust3d.fields.modes import fourier_modes, wavenumbers
from dust3d.inference.prior import (
    ConstantMeanPrior,
    FourierPrior,
    MLPPrior,
    SumPrior,
    VerticalMeanPrior,
    spectral_scales,
)

BOX = (1.0, 0.8, 0.4)
ORDER = (4, 3, 2)
FLOAT = jnp.dtype("float64")


def white_like(xi, key):
    """Standard normal numbers in the place of every number of a pytree."""
    leaves, structure = jax.tree.flatten(xi)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.normal(k, a.shape, a.dtype) for k, a in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)


def fourier_prior(form="cos_sin", **spectrum):
    options = {"std": 1.3, "slope": 1.8} | spectrum
    scales = spectral_scales(fourier_modes(ORDER), BOX, **options)
    return FourierPrior(ORDER, True, BOX, scales, form)


def vertical_prior():
    return VerticalMeanPrior((0.0, 0.05, 0.1, 0.2), -0.7, 1.2, 0.5, 0.015, 0.01, FLOAT)


@pytest.mark.parametrize("outer_scale", [None, 0.5])
@pytest.mark.parametrize("ball", [True, False])
def test_counted_modes_have_the_stated_variance(outer_scale, ball):
    modes = fourier_modes(ORDER, ball)
    scales = spectral_scales(modes, BOX, std=1.7, slope=2.2, outer_scale_kpc=outer_scale)
    assert np.sum(scales**2) == pytest.approx(1.7**2, rel=1e-12)


def test_draws_of_the_field_have_the_stated_spread():
    prior = fourier_prior(std=1.3)
    position = jnp.asarray([[0.31, -0.2, 0.07]])
    start = prior.start(jax.random.key(0))

    def draw(key):
        return prior.field(white_like(start, key)).at(position)[0]

    values = np.asarray(jax.vmap(draw)(jax.random.split(jax.random.key(1), 4000)))
    # the variance of n normal numbers scatters by sqrt(2 / n)
    assert np.var(values) == pytest.approx(1.3**2, rel=4 * np.sqrt(2 / len(values)))
    assert np.mean(values) == pytest.approx(0, abs=4 * 1.3 / np.sqrt(len(values)))


def test_with_a_fixed_scale_fits_of_every_order_share_one_prior():
    options = {"std": 1.5, "slope": 1.8, "outer_scale_kpc": 0.6, "std_scale_kpc": 0.3}
    small, large = fourier_modes((2, 2, 1)), fourier_modes((6, 5, 3))
    by_mode = {
        tuple(m): s
        for m, s in zip(large.tolist(), spectral_scales(large, BOX, **options), strict=True)
    }
    for mode, scale in zip(small.tolist(), spectral_scales(small, BOX, **options), strict=True):
        assert scale == pytest.approx(by_mode[tuple(mode)], rel=1e-12)


def test_all_modes_down_to_the_scale_and_no_others_make_the_std():
    scale = 0.25
    modes = fourier_modes((12, 12, 12), ball=False)
    k = wavenumbers(modes, BOX)
    options = {"std": 1.5, "slope": 1.4, "std_scale_kpc": scale}
    counted = spectral_scales(modes, BOX, **options)[k <= 2 * np.pi / scale * (1 + 1e-9)]
    assert np.sum(counted**2) == pytest.approx(1.5**2, rel=1e-12)


def test_slope_and_outer_scale_of_the_spectrum():
    modes = np.array([[1, 0, 0], [2, 0, 0], [40, 0, 0], [80, 0, 0]])
    power = spectral_scales(modes, BOX, std=1.0, slope=1.8)
    assert power[0] / power[1] == pytest.approx(2**1.8, rel=1e-12)
    outer = 0.5
    k, k0 = wavenumbers(modes, BOX), 2 * np.pi / outer
    bent = spectral_scales(modes, BOX, std=1.0, slope=1.8, outer_scale_kpc=outer)
    expected = ((k0**2 + k**2) / (k0**2 + k[0] ** 2)) ** -0.9
    np.testing.assert_allclose(bent / bent[0], expected, rtol=1e-12)
    # flat above the outer scale, the power law below it
    assert bent[0] / bent[1] < 1.2
    assert bent[2] / bent[3] == pytest.approx(2**1.8, rel=0.03)


@pytest.mark.parametrize("form", ["cos_sin", "amplitude_phase"])
def test_a_field_of_white_noise_whitens_back(form):
    prior = fourier_prior(form)
    key = jax.random.key(3)
    xi = white_like(prior.start(key), key)
    first = prior.field(xi)
    series = first if isinstance(first, FourierField) else first.to_cos_sin()
    back = prior.field(prior.whiten(series))
    places = jax.random.uniform(key, (20, 3), minval=-0.4, maxval=0.4)
    np.testing.assert_allclose(back.at(places), first.at(places), rtol=1e-12, atol=1e-12)
    assert float(prior.log_density(prior.whiten(series))) == pytest.approx(
        float(prior.log_density(xi)), rel=1e-12
    )


@pytest.mark.parametrize("prior", [ConstantMeanPrior(-0.7, 1.2, FLOAT), vertical_prior()])
def test_a_mean_whitens_back(prior):
    key = jax.random.key(4)
    xi = white_like(prior.start(key), key)
    back = prior.whiten(prior.field(xi))
    for name in xi:
        np.testing.assert_allclose(back[name], xi[name], rtol=1e-9, atol=1e-12)


def test_both_forms_give_one_field_the_same_prior_density():
    cos_sin, polar = fourier_prior(), fourier_prior("amplitude_phase")
    field = cos_sin.field(white_like(cos_sin.start(jax.random.key(0)), jax.random.key(5)))
    densities = [float(p.log_density(p.whiten(field))) for p in (cos_sin, polar)]
    assert densities[0] == pytest.approx(densities[1], rel=1e-12)
    assert densities[0] == pytest.approx(
        -0.5 * float(np.sum((field.cos**2 + field.sin**2) / cos_sin.scales**2)), rel=1e-12
    )


def test_starts_are_flat_fields():
    key = jax.random.key(0)
    places = jax.random.uniform(key, (10, 3), minval=-0.4, maxval=0.4)
    assert np.all(fourier_prior().field(fourier_prior().start(key)).at(places) == 0)
    constant = ConstantMeanPrior(-0.7, 1.2, FLOAT)
    for prior in (constant, vertical_prior()):
        np.testing.assert_allclose(prior.field(prior.start(key)).at(places), -0.7, rtol=1e-12)
    # amplitudes of exactly zero would leave the phases without a gradient
    polar = fourier_prior("amplitude_phase")
    assert 0 < float(jnp.std(polar.field(polar.start(key)).at(places))) < 0.5


def test_the_vertical_mean_is_a_random_walk_from_the_plane_up():
    prior = vertical_prior()
    start = prior.start(jax.random.key(0))

    def draw(key):
        field = prior.field(white_like(start, key))
        return field.ln_density, field.offset

    n = 4000
    values, offsets = jax.vmap(draw)(jax.random.split(jax.random.key(2), n))
    values, offsets = np.asarray(values), np.asarray(offsets)
    variance = 1.2**2 + 0.5**2 * np.arange(4)
    np.testing.assert_allclose(
        values.mean(axis=0), -0.7, atol=4 * np.sqrt(variance[-1] / n), rtol=0
    )
    np.testing.assert_allclose(values.var(axis=0), variance, rtol=4 * np.sqrt(2 / n))
    steps = np.diff(values, axis=1)
    np.testing.assert_allclose(np.corrcoef(steps.T), np.eye(3), atol=4 / np.sqrt(n))
    assert offsets.mean() == pytest.approx(0.015, abs=4 * 0.01 / np.sqrt(n))
    assert offsets.std() == pytest.approx(0.01, rel=4 / np.sqrt(2 * n))


def mlp_prior(layers=(32,), dtype=FLOAT, std=1.4, features=32):
    return MLPPrior.draw(
        jax.random.key(7),
        layers=layers,
        features=features,
        feature_scale_kpc=0.5,
        ndim=3,
        std=std,
        dtype=dtype,
    )


@pytest.mark.parametrize("layers", [(8,), (64,), (64, 64)])
def test_networks_have_about_the_stated_spread(layers):
    prior = mlp_prior(layers)
    start = prior.start(jax.random.key(0))
    places = jnp.asarray([[0.31, -0.2, 0.07], [-0.5, 0.4, 0.2]])

    def draw(key):
        return prior.field(white_like(start, key)).at(places)

    values = np.asarray(jax.vmap(draw)(jax.random.split(jax.random.key(1), 3000)))
    assert np.std(values) == pytest.approx(1.4, rel=0.1)


def test_frequencies_lie_within_a_factor_of_four_of_the_scale_in_all_directions():
    frequencies = np.asarray(mlp_prior(features=2000).frequencies)
    length = np.linalg.norm(frequencies, axis=1)
    middle = 2 * np.pi / 0.5
    assert length.min() >= middle / 4 * 0.999
    assert length.max() <= middle * 4 * 1.001
    assert np.median(length) == pytest.approx(middle, rel=0.1)
    mean_direction = (frequencies / length[:, None]).mean(axis=0)
    assert np.linalg.norm(mean_direction) < 4 / np.sqrt(2000)


def test_both_precisions_of_a_network_have_the_same_features():
    single, double = mlp_prior(dtype=jnp.dtype("float32")), mlp_prior()
    assert single.frequencies.dtype == jnp.float32
    np.testing.assert_array_equal(np.asarray(single.frequencies, np.float64), double.frequencies)


def test_a_network_starts_flat_but_can_move():
    prior = mlp_prior()
    start = prior.start(jax.random.key(0))
    place = jnp.asarray([[0.3, 0.1, -0.2]])
    assert float(prior.field(start).at(place)[0]) == 0
    gradient = jax.grad(lambda xi: prior.field(xi).at(place)[0])(start)
    assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(gradient)) > 0


def test_a_sum_of_parts_is_independent_in_them():
    parts = {"varying": fourier_prior(), "mean": ConstantMeanPrior(-0.7, 1.2, FLOAT)}
    prior = SumPrior(parts)
    xi = white_like(prior.start(jax.random.key(0)), jax.random.key(1))
    total = sum(float(part.log_density(xi[name])) for name, part in parts.items())
    assert float(prior.log_density(xi)) == pytest.approx(total, rel=1e-12)
    place = jnp.asarray([[0.3, 0.1, -0.2]])
    each = sum(part.field(xi[name]).at(place)[0] for name, part in parts.items())
    assert float(prior.field(xi).at(place)[0]) == pytest.approx(float(each), rel=1e-12)


def test_log_density_has_the_gradient_of_white_noise():
    prior = vertical_prior()
    xi = white_like(prior.start(jax.random.key(0)), jax.random.key(6))
    gradient = eqx.filter_grad(prior.log_density)(xi)
    for name in xi:
        np.testing.assert_allclose(gradient[name], -xi[name], rtol=1e-12)
