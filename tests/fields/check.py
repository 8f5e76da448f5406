"""The one check that every class of fields must pass."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from dust3d.fields.base import Field
from dust3d.io.fields import load_field, save_field

STEP = 1e-5
POINTS = 5


def check_field(field: Field, ndim: int, folder: Path) -> None:
    """Finite, of the right shapes, the same by every path, differentiable, and storable."""
    x = jnp.asarray(np.random.default_rng(11).uniform(-0.9, 0.9, (POINTS, ndim)))
    axes = tuple(jnp.linspace(-0.8, 0.7, 2 + i) for i in range(ndim))
    found = _evaluate(field, x, axes)
    check_values(field, x, found)
    np.testing.assert_allclose(found["slope"], found["slow slope"], rtol=1e-4, atol=1e-6)
    along, slow = found["change"], found["slow change"]
    np.testing.assert_allclose(along, slow, rtol=1e-4, atol=1e-6)
    assert np.all(np.abs(slow) > 1e-6), "the check must move the parameters"
    check_storage(field, x, axes, found["one by one"], folder / "field.h5")


@eqx.filter_jit
def _evaluate(field, x, axes) -> dict[str, jax.Array]:
    """All that can be asked of a field, in one compilation."""
    mesh = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, x.shape[1])
    moved = x + STEP * jnp.asarray([s * e for s in (1, -1) for e in np.eye(x.shape[1])])[:, None]
    values = jax.vmap(field)(jnp.concatenate([x, mesh, moved.reshape(-1, x.shape[1])]))
    one, at_mesh, at_moved = jnp.split(values, [len(x), len(x) + len(mesh)])
    plus, minus = at_moved.reshape(2, x.shape[1], len(x))
    gradient, directions, total = _parameters(field, x)
    return {
        "one by one": one,
        "at": field.at(x),
        "mesh one by one": at_mesh,
        "on grid": field.on_grid(axes),
        "slope": jax.vmap(jax.grad(field))(x),
        "slow slope": ((plus - minus) / (2 * STEP)).T,
        "change": directions @ gradient,
        "slow change": (total(STEP * directions) - total(-STEP * directions)) / (2 * STEP),
    }


def _parameters(field, x):
    """Gradient in all parameters, random directions, and the function of steps along them.

    The frequencies of a network are not trained: their gradient is zero, and no step moves them.
    """
    parameters, rest = eqx.partition(field, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(parameters)
    free = jax.tree.map(jnp.ones_like, parameters)
    if hasattr(free, "frequencies"):
        free = eqx.tree_at(lambda f: f.frequencies, free, jnp.zeros_like(free.frequencies))
    steps = np.random.default_rng(12).standard_normal((3, flat.size)) * ravel_pytree(free)[0]

    def total(step):
        return jnp.sum(jnp.sin(eqx.combine(unravel(flat + step), rest).at(x)))

    return jax.grad(total)(jnp.zeros_like(flat)), steps, jax.vmap(total)


def check_values(field, x, found):
    """Jitted = eager, one by one = `at` = `on_grid`, float32 stays float32."""
    values = found["one by one"]
    assert values.shape == (len(x),)
    assert values.dtype == jnp.float64
    assert np.all(np.isfinite(values))
    eager = field(x[0])
    assert eager.shape == ()
    np.testing.assert_allclose(eager, values[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found["at"], values, rtol=1e-12, atol=1e-12)
    assert found["on grid"].shape == tuple(range(2, 2 + x.shape[1]))
    np.testing.assert_allclose(
        found["on grid"].ravel(), found["mesh one by one"], rtol=1e-12, atol=1e-12
    )
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), field)
    rough = single.at(x.astype(jnp.float32))
    assert rough.dtype == jnp.float32
    np.testing.assert_allclose(rough, values, rtol=5e-4, atol=5e-4)


def check_storage(field, x, axes, values, path):
    """Saved and loaded = the same, to the last bit."""
    save_field(path, field, {"note": "check"})
    again, attrs = load_field(path)
    assert attrs["note"] == "check"
    assert jax.tree.structure(again) == jax.tree.structure(field)
    np.testing.assert_array_equal(_evaluate(again, x, axes)["one by one"], values)
