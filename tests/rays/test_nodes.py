"""Exact rays against closed forms, scipy's quadrature and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from tests.fields.examples import EXAMPLES, fourier

from dust3d.fields.base import Field
from dust3d.fields.fourier import FourierField, fourier_modes
from dust3d.rays.nodes import (
    extinction,
    extinctions,
    integration_matrix,
    legendre_nodes,
    moments,
    nodes_for,
    profile,
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
