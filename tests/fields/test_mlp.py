"""Networks against the plain formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.fields.examples import network

from dust3d.fields.mlp import MLPField


def test_the_network_is_tanh_layers_on_cosines_and_sines():
    field = network()
    x = np.array([0.3, -0.2, 0.5])
    angle = np.asarray(field.frequencies) @ x
    hidden = np.concatenate([np.cos(angle), np.sin(angle)])
    for w, b in zip(field.weights[:-1], field.biases[:-1], strict=True):
        hidden = np.tanh(hidden @ np.asarray(w) + np.asarray(b))
    expected = hidden @ np.asarray(field.weights[-1]) + np.asarray(field.biases[-1])
    np.testing.assert_allclose(field(jnp.asarray(x)), expected[0], rtol=1e-12)


def test_frequencies_are_not_trained():
    gradient = jax.grad(lambda f: f(jnp.array([0.3, -0.2, 0.5])))(network())
    np.testing.assert_array_equal(gradient.frequencies, 0)
    assert all(np.any(np.asarray(w) != 0) for w in gradient.weights)


def test_many_points_go_in_chunks():
    field = network(2)
    x = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, ((1 << 14) + 3, 2)))
    found = field.at(x)
    np.testing.assert_allclose(found[-5:], field.at(x[-5:]), atol=1e-12)


def test_layers_are_listed():
    field = network()
    assert field.layers == (5, 4)


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="cannot follow one of width 4"):
        MLPField(np.ones((2, 3)), [np.ones((5, 1))], [np.ones(1)])
    with pytest.raises(ValueError, match="last layer must have width 1, not 2"):
        MLPField(np.ones((2, 3)), [np.ones((4, 2))], [np.ones(2)])
