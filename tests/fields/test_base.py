"""Every class of fields against the one check, and what the base class does for them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.fields.check import check_field
from tests.fields.examples import EXAMPLES, fourier

from dust3d.fields.base import Field
from dust3d.fields.known import registered_fields

PARTS_OF_STRUCTURED = {"Cavity", "Disc", "Filaments", "Shell"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_field(name, tmp_path):
    check_field(*EXAMPLES[name], tmp_path)


def test_no_class_is_forgotten():
    checked = {type(field).__name__ for field, _ in EXAMPLES.values()}
    assert checked | PARTS_OF_STRUCTURED == set(registered_fields())


class Slope(Field):
    """A field that has nothing but a call: what a user would write."""

    def __call__(self, position):
        return 0.3 * position[0] - position[1] ** 2


def test_a_call_is_enough_for_points_and_grids():
    x = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (20, 2)))
    expected = 0.3 * x[:, 0] - x[:, 1] ** 2
    np.testing.assert_allclose(Slope().at(x), expected, rtol=1e-14)
    axes = (jnp.linspace(-1, 1, 3), jnp.linspace(0, 1, 4))
    grid = 0.3 * axes[0][:, None] - axes[1] ** 2
    np.testing.assert_allclose(Slope().on_grid(axes), grid, rtol=1e-14)


def test_chunks_change_nothing(monkeypatch):
    x = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (20, 2)))
    whole = Slope().at(x)
    monkeypatch.setattr("dust3d.fields.base._CHUNK", 6)
    np.testing.assert_allclose(Slope().at(x), whole, rtol=1e-14)


def test_a_field_is_a_pytree_that_optimisers_can_step():
    field = fourier()
    doubled = jax.tree.map(lambda leaf: 2 * leaf, field)
    x = jnp.array([0.2, -0.4, 0.1])
    np.testing.assert_allclose(doubled(x), 2 * field(x), rtol=1e-14)


def test_the_base_class_has_no_density():
    with pytest.raises(NotImplementedError):
        Field()(jnp.zeros(3))
