"""The structured sky against closed forms and finite differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dust3d.fields.fourier import FourierField, fourier_modes
from dust3d.fields.structured import Cavity, Disc, Filaments, Shell, StructuredField


def column(field, direction, start, stop, nodes=4000):
    """Trapezium rule for the density along a straight line through the Sun."""
    s = np.linspace(start, stop, nodes)
    rho = np.exp(field.at(jnp.asarray(s[:, None] * np.asarray(direction, dtype=float))))
    return np.trapezoid(rho, s)


def everything(ndim=3):
    order, half_widths = (3, 2, 2)[:ndim], (2.0, 2.0, 1.0)[:ndim]
    rng = np.random.default_rng(5)
    coefficients = 0.2 * rng.standard_normal((2, len(fourier_modes(order))))
    turbulence = FourierField(order, half_widths, *coefficients)
    filaments = Filaments(
        ln_peak=np.log([40.0, 10.0, 5.0]),
        middle=rng.uniform(-0.4, 0.4, (3, ndim)),
        half=np.concatenate([np.zeros((1, ndim)), rng.uniform(-0.1, 0.1, (2, ndim))]),
        sigma=np.array([0.02, 0.03, 0.05]),
    )
    return StructuredField(
        factors=(Disc(np.log(0.7), -0.015, 0.1), turbulence, Cavity(0.05, 0.12, 0.015)),
        added=(Shell(np.log(3.5), 0.12, 0.015), filaments),
    )


def test_column_through_a_disc_is_two_h_midplane():
    disc = Disc(ln_midplane=np.log(0.7), offset=-0.015, scale_height=0.1)
    assert column(disc, [0, 0, 1], -3, 3) == pytest.approx(2 * 0.1 * 0.7, rel=1e-10)


def test_a_disc_in_two_dimensions_is_uniform():
    disc = Disc(ln_midplane=np.log(0.7), offset=-0.015, scale_height=0.1)
    np.testing.assert_allclose(disc.at(jnp.ones((3, 2))), np.log(0.7), rtol=1e-12)


def test_column_through_a_cloud_is_root_two_pi_sigma_peak():
    cloud = Filaments(np.log([50.0]), np.array([[0.5, 0, 0]]), np.zeros((1, 3)), np.array([0.03]))
    expected = np.sqrt(2 * np.pi) * 0.03 * 50
    assert column(cloud, [1, 0, 0], 0, 1) == pytest.approx(expected, rel=1e-10)


def test_column_along_a_filament_is_its_length_and_its_round_ends():
    tube = Filaments(
        np.log([8.0]), np.array([[0.5, 0, 0]]), np.array([[0.15, 0, 0]]), np.array([0.02])
    )
    expected = 8 * (0.3 + np.sqrt(2 * np.pi) * 0.02)
    assert column(tube, [1, 0, 0], 0, 1, nodes=20_001) == pytest.approx(expected, rel=1e-6)
    off_axis = tube(jnp.array([0.45, 0.02, 0.0]))
    assert off_axis == pytest.approx(np.log(8) - 0.5, rel=1e-12)


def test_column_through_the_shell_is_root_two_pi_width_peak():
    shell = Shell(ln_peak=np.log(3.5), radius=0.12, width=0.015)
    expected = np.sqrt(2 * np.pi) * 0.015 * 3.5
    assert column(shell, [0, 1, 0], 0, 0.3) == pytest.approx(expected, rel=1e-8)


def test_the_cavity_thins_the_inside_only():
    cavity = Cavity(interior=0.05, radius=0.12, width=0.015)
    assert np.exp(cavity(jnp.zeros(3))) == pytest.approx(0.05, rel=0.01)
    assert np.exp(cavity(jnp.array([0.3, 0.0, 0.0]))) == pytest.approx(1, rel=1e-4)
    half = (1 + 0.05) / 2
    assert np.exp(cavity(jnp.array([0.12, 0.0, 0.0]))) == pytest.approx(half, rel=1e-3)


def test_parts_multiply_and_add():
    disc, cavity = Disc(0.1, 0.0, 0.1), Cavity(0.1, 0.1, 0.02)
    shell = Shell(0.5, 0.1, 0.02)
    x = jnp.array([0.08, 0.03, -0.02])
    rho = np.exp(disc(x) + cavity(x)) + np.exp(shell(x))
    assert np.exp(StructuredField((disc, cavity), (shell,))(x)) == pytest.approx(rho, rel=1e-12)


@pytest.mark.parametrize("ndim", [2, 3])
def test_many_positions_equal_one_by_one(ndim):
    field = everything(ndim)
    x = jnp.asarray(np.random.default_rng(1).uniform(-0.5, 0.5, (40, ndim)))
    many = eqx.filter_jit(lambda f, points: f.at(points))
    np.testing.assert_allclose(many(field, x), jax.jit(jax.vmap(field))(x), rtol=1e-10)
    axes = [jnp.linspace(-0.4, 0.4, 3 + i) for i in range(ndim)]
    mesh = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, ndim)
    grid = eqx.filter_jit(lambda f, a: f.on_grid(a))(field, axes)
    np.testing.assert_allclose(grid.ravel(), many(field, mesh), rtol=1e-10)


@pytest.mark.parametrize("ndim", [2, 3])
def test_gradient_is_the_finite_difference(ndim):
    field = everything(ndim)
    step = 1e-5
    x = jnp.asarray(np.random.default_rng(2).uniform(-0.4, 0.4, (10, ndim)))
    many = jax.jit(jax.vmap(field))
    slow = [(many(x + step * e) - many(x - step * e)) / (2 * step) for e in np.eye(ndim)]
    fast = jax.jit(jax.vmap(jax.grad(field)))(x)
    np.testing.assert_allclose(fast, np.stack(slow, axis=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_finite_at_the_sun_and_far_away(dtype):
    field = jax.tree.map(lambda leaf: leaf.astype(dtype), everything())
    x = jnp.asarray([[0, 0, 0], [10, -10, 2], [0, 0, 50]], dtype)
    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(field)))(x)
    assert np.all(np.isfinite(values))
    assert np.all(np.isfinite(gradients))
    assert gradients.dtype == dtype


def test_chunks_change_nothing(monkeypatch):
    tubes = everything().added[1]
    x = jnp.asarray(np.random.default_rng(3).uniform(-0.5, 0.5, (50, 3)))
    whole = tubes.at(x)
    monkeypatch.setattr("dust3d.fields.structured._CHUNK_ELEMENTS", 70)
    np.testing.assert_allclose(tubes.at(x), whole, rtol=1e-12)


def test_nothing_is_refused():
    with pytest.raises(ValueError, match="leave the part out"):
        Filaments(np.zeros(0), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))
    with pytest.raises(ValueError, match="at least one factor"):
        StructuredField(factors=())
