"""Fourier fields against closed forms."""

import jax.numpy as jnp
import numpy as np
import pytest
from tests.fields.examples import fourier

from dust3d.fields.fourier import AmplitudePhaseField, FourierField, change_order, fourier_modes

POINTS = jnp.asarray(np.random.default_rng(4).uniform(-3, 3, (30, 3)))


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("ball", [True, False])
def test_the_series_is_the_plain_sum(ndim, ball):
    field, x = fourier(ndim, ball=ball), POINTS[:, :ndim]
    angle = x @ (np.pi * field.modes / np.asarray(field.half_widths)).T
    expected = jnp.cos(angle) @ field.cos + jnp.sin(angle) @ field.sin
    np.testing.assert_allclose(field.at(x), expected, rtol=1e-12, atol=1e-12)


def test_one_mode_is_one_wave():
    modes = fourier_modes((2, 1, 1), ball=False)
    row = modes.tolist().index([2, -1, 0])
    zero = np.zeros(len(modes))
    field = FourierField((2, 1, 1), (1.0, 2.0, 0.5), zero, np.eye(len(modes))[row], False)
    x, y = POINTS[:, 0], POINTS[:, 1]
    expected = jnp.sin(np.pi * (2 * x / 1.0 - y / 2.0))
    np.testing.assert_allclose(field.at(POINTS), expected, atol=1e-12)


def test_the_box_is_periodic():
    field = fourier()
    shift = 2 * np.asarray(field.half_widths) * np.array([1, -2, 3])
    np.testing.assert_allclose(field.at(POINTS + shift), field.at(POINTS), atol=1e-12)


def test_amplitude_and_phase_say_the_same():
    field = fourier()
    other = AmplitudePhaseField.from_cos_sin(field)
    assert np.all(other.amplitude >= 0)
    np.testing.assert_allclose(other.at(POINTS), field.at(POINTS), atol=1e-12)
    back = other.to_cos_sin()
    np.testing.assert_allclose(back.cos, field.cos, atol=1e-14)
    np.testing.assert_allclose(back.sin, field.sin, atol=1e-14)
    wave = jnp.cos(POINTS @ (np.pi * other.modes / np.asarray(other.half_widths)).T + other.phase)
    np.testing.assert_allclose(other.at(POINTS), wave @ other.amplitude, atol=1e-12)


@pytest.mark.parametrize("ball", [True, False])
def test_raising_the_order_changes_nothing_and_lowering_goes_back(ball):
    field = fourier()
    raised = change_order(field, (8, 5, 5), ball)
    assert raised.order == (8, 5, 5)
    assert raised.ball is ball
    np.testing.assert_allclose(raised.at(POINTS), field.at(POINTS), atol=1e-12)
    back = change_order(raised, field.order)
    np.testing.assert_array_equal(back.cos, field.cos)
    np.testing.assert_array_equal(back.sin, field.sin)


def test_lowering_the_order_drops_only_the_modes_above():
    field = fourier()
    low = change_order(field, (2, 2, 1))
    rows = [field.modes.tolist().index(m) for m in low.modes.tolist()]
    np.testing.assert_array_equal(low.cos, field.cos[jnp.asarray(rows)])


@pytest.mark.parametrize("cls", [FourierField, AmplitudePhaseField])
def test_shapes_that_do_not_fit_are_refused(cls):
    good = np.zeros(len(fourier_modes((2, 2))))
    with pytest.raises(ValueError, match=r"has 6 modes and needs as many .* not \(5,\)"):
        cls((2, 2), (1.0, 1.0), good[:-1], good)
    with pytest.raises(ValueError, match="different lengths"):
        cls((2, 2), (1.0, 1.0, 1.0), good, good)


@pytest.mark.parametrize("cls", [FourierField, AmplitudePhaseField])
@pytest.mark.parametrize("half_width", [0.0, -1.0, np.nan, np.inf])
def test_a_box_without_size_is_refused(cls, half_width):
    zero = np.zeros(len(fourier_modes((2, 2))))
    with pytest.raises(ValueError, match="half-widths"):
        cls((2, 2), (1.0, half_width), zero, zero)
