"""Separable products against the plain sum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dust3d.fields.modes import fourier_modes
from dust3d.transforms.separable import evaluate, evaluate_grid, lattice_coefficients, waves

HALF_WIDTHS = (2.0, 1.5, 0.4)
ORDER = (5, 3, 2)


def setting(ndim, ball=True, dtype=np.float64):
    """Modes, coefficients and points."""
    rng = np.random.default_rng(7)
    modes = fourier_modes(ORDER[:ndim], ball)
    cos, sin = rng.standard_normal((2, len(modes))) / len(modes) ** 0.5
    points = rng.uniform(-3, 3, (25, ndim))
    return modes, jnp.asarray(cos, dtype), jnp.asarray(sin, dtype), jnp.asarray(points, dtype)


def plain_sum(modes, cos, sin, points):
    """a cos(k x) + b sin(k x), mode by mode."""
    angle = np.asarray(points) @ (np.pi * modes / np.asarray(HALF_WIDTHS[: modes.shape[1]])).T
    return np.cos(angle) @ np.asarray(cos) + np.sin(angle) @ np.asarray(sin)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("ball", [True, False])
def test_scattered_points(ndim, ball):
    modes, cos, sin, points = setting(ndim, ball)
    order, half_widths = ORDER[:ndim], HALF_WIDTHS[:ndim]
    lattice = lattice_coefficients(modes, order, cos, sin)
    found = evaluate(lattice, order, half_widths, points)
    expected = plain_sum(modes, cos, sin, points)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    one = waves(points[3], modes, order, half_widths)
    np.testing.assert_allclose(cos @ one.real + sin @ one.imag, expected[3], rtol=0, atol=1e-12)


def test_a_grid_on_a_part_of_the_box():
    modes, cos, sin, _ = setting(3)
    lattice = lattice_coefficients(modes, ORDER, cos, sin)
    axes = (jnp.linspace(-0.3, 0.1, 4), jnp.zeros(1), jnp.linspace(-0.4, 0.9, 5))
    mesh = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)
    found = evaluate_grid(lattice, ORDER, HALF_WIDTHS, axes)
    np.testing.assert_allclose(found, plain_sum(modes, cos, sin, mesh), rtol=0, atol=1e-12)


def test_single_precision_stays_single_and_close():
    modes, cos, sin, points = setting(3, dtype=np.float32)
    lattice = lattice_coefficients(modes, ORDER, cos, sin)
    found = evaluate(lattice, ORDER, HALF_WIDTHS, points)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, plain_sum(modes, cos, sin, points), atol=2e-5)


def test_the_adjoint_is_the_transpose():
    modes, cos, sin, points = setting(3)

    def series(cos, sin):
        lattice = lattice_coefficients(modes, ORDER, cos, sin)
        return evaluate(lattice, ORDER, HALF_WIDTHS, points)

    target = np.random.default_rng(8).standard_normal(len(points))
    values, pull = jax.vjp(series, cos, sin)
    back = pull(jnp.asarray(target))
    np.testing.assert_allclose(target @ values, cos @ back[0] + sin @ back[1], rtol=1e-11)
