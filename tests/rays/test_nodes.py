"""Exact rays against closed forms, scipy's quadrature and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from tests.fields.examples import EXAMPLES, fourier

from dust3d.fields.base import Field
from dust3d.fields.fourier import FourierField, fourier_modes
from dust3d.rays.nodes import extinction, extinctions, moments, profile
from dust3d.rays.quadrature import (
    bands_for,
    integration_matrix,
    legendre_nodes,
    nodes_for,
    panels_for,
)

STARS = jnp.asarray(np.random.default_rng(3).uniform(-0.9, 0.9, (6, 3)))


class Slab(Field):
    """ln rho falls linearly with height: the one-sided exponential slab."""

    ln_density: jax.Array
    height: jax.Array

    def __call__(self, position):
        return self.ln_density - position[2] / self.height


def test_weights_are_a_mean_over_the_ray():
    t, w = legendre_nodes(7)
    for power in range(14):
        assert w @ t**power == pytest.approx(1 / (power + 1), rel=1e-13)


@pytest.mark.parametrize("nodes", [1, 2, 5, 16, 40])
def test_the_integration_matrix_is_exact_for_polynomials(nodes):
    t, _ = legendre_nodes(nodes)
    for power in range(nodes):
        found = integration_matrix(nodes) @ t**power
        np.testing.assert_allclose(found, t ** (power + 1) / (power + 1), rtol=0, atol=1e-12)


def test_many_nodes_lie_in_panels_and_integrate_as_one_rule_does():
    assert panels_for(128) == (1, 128)
    assert panels_for(200) == (4, 50)
    t, w = legendre_nodes(200)
    assert np.all(np.diff(t) > 0)
    assert w.sum() == pytest.approx(1, rel=1e-14)
    wave = np.exp(np.cos(40 * t))
    exact = quad(lambda x: np.exp(np.cos(40 * x)), 0, 1, epsrel=1e-13, limit=500)[0]
    assert w @ wave == pytest.approx(exact, rel=1e-9)
    along = integration_matrix(200) @ wave
    for row in (3, 70, 199):
        part = quad(lambda x: np.exp(np.cos(40 * x)), 0, t[row], epsrel=1e-13, limit=500)[0]
        assert along[row] == pytest.approx(part, abs=1e-9)


@pytest.mark.parametrize(("nodes", "tolerance"), [(18, 1e-5), (28, 1e-8), (40, 1e-12)])
def test_the_integration_matrix_against_quad(nodes, tolerance):
    def density(t):
        return np.exp(np.sin(5 * t) + 0.5 * np.cos(9 * t))

    t, _ = legendre_nodes(nodes)
    expected = [quad(density, 0, end, epsrel=1e-12)[0] for end in t]
    found = integration_matrix(nodes) @ density(t)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_a_slab_has_a_closed_form():
    field = Slab(jnp.log(2.0), jnp.asarray(0.3))
    length, z = np.linalg.norm(STARS, axis=1), np.asarray(STARS)[:, 2]
    expected = length * 2.0 * 0.3 / z * (1 - np.exp(-z / 0.3))
    np.testing.assert_allclose(extinctions(field, STARS, 24), expected, rtol=1e-12)
    squares = length * 4.0 * 0.15 / z * (1 - np.exp(-z / 0.15))
    np.testing.assert_allclose(moments(field, STARS, nodes=32)[1], squares, rtol=1e-12)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_single_mode_against_quad(ndim):
    order, half_widths = (5, 4, 3)[:ndim], (1.0, 1.5, 2.0)[:ndim]
    modes = fourier_modes(order, ball=False)
    zero = np.zeros(len(modes))
    row = int(np.argmax(np.sum(np.abs(modes), axis=1)))
    field = FourierField(order, half_widths, zero + 1.5 * np.eye(len(modes))[row], zero, False)
    star = np.asarray(STARS)[0, :ndim]
    k = np.pi * modes[row] / np.asarray(half_widths)
    length = np.linalg.norm(star)
    expected = quad(lambda s: np.exp(1.5 * np.cos(k @ star * s / length)), 0, length, epsrel=1e-13)
    found = extinction(field, jnp.asarray(star), nodes=64)
    assert found == pytest.approx(expected[0], rel=1e-12)


def test_batches_are_the_single_star(monkeypatch):
    one_by_one = [extinction(fourier(), star, nodes=20) for star in STARS]
    np.testing.assert_allclose(extinctions(fourier(), STARS, 20), one_by_one, rtol=1e-12)
    # a chunk of four stars: the second one is filled up
    monkeypatch.setattr("dust3d.rays.nodes._POINTS_PER_CHUNK", 80)
    np.testing.assert_allclose(extinctions(fourier(), STARS, 20), one_by_one, rtol=1e-12)


def test_no_stars_have_no_extinctions():
    assert extinctions(fourier(), jnp.zeros((0, 3)), 8).shape == (0,)


def test_the_sun_has_no_extinction_and_stars_in_one_direction_rise():
    along = jnp.linspace(0, 1, 6)[:, None] * jnp.array([0.5, -0.4, 0.3])
    found = np.asarray(extinctions(fourier(), along, 24))
    assert found[0] == 0
    assert np.all(np.diff(found) > 0)


@pytest.mark.parametrize("name", ["Fourier 2-D", "sum 3-D", "network 3-D"])
def test_the_profile_is_the_extinction_to_each_distance(name):
    field, ndim = EXAMPLES[name]
    star = STARS[1, :ndim]
    distance, along = profile(field, star, nodes=32)
    places = distance[:, None] * star / jnp.linalg.norm(star)
    np.testing.assert_allclose(along, extinctions(field, places, 48), rtol=0, atol=1e-7)
    # what partial sums of the weights would give is wrong by percents
    _, w = legendre_nodes(32)
    sums = jnp.cumsum(w * jnp.exp(field.at(places))) * jnp.linalg.norm(star)
    assert np.max(np.abs(sums - along) / along[-1]) > 0.01


def test_the_gradient_in_the_star_is_the_finite_difference():
    field, step = fourier(), 1e-5
    fast = jax.grad(lambda star: extinction(field, star, nodes=24))(STARS[0])
    moved = jnp.asarray([s * step * e for e in np.eye(3) for s in (1, -1)])
    found = np.asarray(extinctions(field, STARS[0] + moved, 24)).reshape(3, 2)
    np.testing.assert_allclose(fast, (found[:, 0] - found[:, 1]) / (2 * step), rtol=1e-6)


def test_single_precision_stays_single():
    field = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), fourier())
    found = extinctions(field, STARS.astype(jnp.float32), 24)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, extinctions(fourier(), STARS, 24), rtol=5e-4)


def test_the_original_orders_have_their_measured_nodes():
    reach = 8 * np.sqrt(2)
    for order, needed in ((10, 20), (20, 32), (40, 64)):
        nodes = nodes_for((order, order, order // 5), (10.0, 10.0, 2.0), reach)
        assert needed <= nodes <= 1.4 * needed


def test_near_stars_take_fewer_nodes_and_lose_nothing():
    order, half_widths = (20, 20, 4), (10.0, 10.0, 2.0)
    rng = np.random.default_rng(1)
    modes = fourier_modes(order)
    size = np.linalg.norm(modes / np.asarray(half_widths), axis=1) ** -1.8
    cos, sin = rng.standard_normal((2, len(modes))) * size / np.linalg.norm(size)
    field = FourierField(order, half_widths, cos, sin)
    stars = rng.uniform(-0.8, 0.8, (1024, 3)) * np.asarray(half_widths)
    stars = stars[np.argsort(np.linalg.norm(stars, axis=1))]
    distances = np.linalg.norm(stars, axis=1)
    nodes = nodes_for(order, half_widths, distances[-1])
    bands = bands_for(distances[None], nodes)
    assert sum(count for count, _ in bands) == 1024
    assert bands[-1][1] == nodes
    assert sum(count * n for count, n in bands) < 0.85 * 1024 * nodes
    places = jnp.asarray(stars)
    exact = moments(field, places, nodes=3 * nodes)
    found = moments(field, places, nodes=bands)
    same = moments(field, places, nodes=nodes)
    errors = [np.percentile(np.abs(a[0] - exact[0]), 99) for a in (found, same)]
    assert errors[0] < 1.5 * errors[1] < 1e-4
    np.testing.assert_allclose(found[1], exact[1], rtol=5e-3)


def test_one_band_has_all_stars_of_a_small_batch():
    assert bands_for(np.array([[1.0, 2.0, 3.0], [1.0, 1.5, 4.0]]), 20) == ((3, 20),)
    assert bands_for(np.zeros((1, 2)), 7) == ((2, 7),)
