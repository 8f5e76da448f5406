"""Splines against scipy's with the same ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from dust3d.splines import clamped_spline, evaluate_spline

KNOTS = np.array([0.0, 0.05, 0.1, 0.25, 0.6])
VALUES = jnp.array([-0.2, -0.5, -0.4, -2.0, -3.5])


def spline(x, values=VALUES, knots=KNOTS):
    """The spline at x."""
    return evaluate_spline(knots, values, clamped_spline(knots, values), x)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_equal_to_scipy_between_the_knots(n):
    twin = CubicSpline(KNOTS[:n], VALUES[:n], bc_type=((1, 0.0), (2, 0.0)))
    x = np.linspace(0, KNOTS[n - 1], 301)
    found = spline(jnp.asarray(x), VALUES[:n], KNOTS[:n])
    np.testing.assert_allclose(found, twin(x), rtol=0, atol=1e-12)
    second = clamped_spline(KNOTS[:n], VALUES[:n])
    np.testing.assert_allclose(second, twin(KNOTS[:n], 2), rtol=1e-10, atol=1e-9)


def test_values_at_the_knots():
    np.testing.assert_allclose(spline(jnp.asarray(KNOTS)), VALUES, rtol=0, atol=1e-14)


def test_no_slope_at_the_first_knot():
    assert jax.grad(spline)(0.0) == pytest.approx(0, abs=1e-12)
    assert jax.grad(spline)(-0.1) == 0
    np.testing.assert_allclose(spline(jnp.array([-0.1, 0.0])), VALUES[0], rtol=1e-14)


def test_a_straight_line_beyond_the_last_knot_without_a_kink():
    slope = jax.vmap(jax.grad(spline))(jnp.array([KNOTS[-1] - 1e-9, KNOTS[-1] + 1e-9, 1.0, 9.0]))
    np.testing.assert_allclose(slope, slope[-1], rtol=1e-6)
    x = jnp.array([0.6, 1.0, 9.0])
    expected = VALUES[-1] + slope[-1] * (x - 0.6)
    np.testing.assert_allclose(spline(x), expected, rtol=1e-12)


def test_linear_in_the_values():
    x = jnp.linspace(0, 1, 7)
    other = jnp.array([1.0, 0.3, -0.2, 0.0, 4.0])
    together = spline(x, 2 * VALUES - 3 * other)
    np.testing.assert_allclose(together, 2 * spline(x) - 3 * spline(x, other), atol=1e-12)


def test_single_precision_stays_single():
    found = spline(jnp.linspace(0, 1, 7, dtype=jnp.float32), VALUES.astype(jnp.float32))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, spline(jnp.linspace(0, 1, 7)), rtol=5e-4)
