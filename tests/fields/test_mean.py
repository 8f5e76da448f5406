"""Means of ln rho against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.fields.examples import vertical

from dust3d.fields.mean import ConstantMean, VerticalMean


def test_a_constant_is_the_same_everywhere():
    field = ConstantMean(jnp.log(0.5))
    np.testing.assert_allclose(field.at(jnp.ones((4, 2))), np.log(0.5), rtol=1e-15)
    assert field.on_grid((jnp.zeros(2), jnp.zeros(3))).shape == (2, 3)


def test_the_profile_passes_through_its_knots_on_both_sides_of_the_plane():
    field = vertical()
    height = np.asarray(field.knots)
    for z in (height - 0.015, -height - 0.015):
        x = jnp.stack([jnp.ones(4), jnp.zeros(4), jnp.asarray(z)], axis=1)
        np.testing.assert_allclose(field.at(x), field.ln_density, atol=1e-12)


def test_the_profile_is_flat_in_the_plane_and_smooth_through_it():
    field = vertical()
    slope = jax.grad(field)(jnp.array([0.3, 0.1, -0.015]))
    np.testing.assert_allclose(slope, 0, atol=1e-12)
    above, below = (jax.grad(jax.grad(field.profile))(-0.015 + z) for z in (1e-7, -1e-7))
    np.testing.assert_allclose(above, below, rtol=1e-4)


def test_the_profile_is_exponential_beyond_the_last_knot():
    field = vertical()
    slope = jax.vmap(jax.grad(field.profile))(jnp.array([0.8, 2.0, 50.0]))
    np.testing.assert_allclose(slope, slope[0], rtol=1e-12)
    drop = field.profile(jnp.asarray(2.0)) - field.profile(jnp.asarray(1.0))
    np.testing.assert_allclose(drop, slope[0], rtol=1e-12)


def test_a_profile_needs_a_third_axis():
    with pytest.raises(ValueError, match="3-D"):
        vertical()(jnp.zeros(2))
    with pytest.raises(ValueError, match="3-D"):
        vertical().on_grid((jnp.zeros(2), jnp.zeros(3)))


def test_values_and_knots_must_fit():
    with pytest.raises(ValueError, match="3 knots need as many values"):
        VerticalMean((0.0, 0.1, 0.2), np.zeros(2), 0.0)


@pytest.mark.parametrize("knots", [(0.1, 0.2, 0.3), (0.0, 0.2, 0.2), (0.0, 0.3, 0.2), (0.0,)])
def test_knots_must_rise_from_the_plane(knots):
    with pytest.raises(ValueError, match="rise from 0"):
        VerticalMean(knots, np.zeros(len(knots)), 0.0)
