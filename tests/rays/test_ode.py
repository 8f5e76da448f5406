"""The reference: exact rays, closed forms and finite differences, for every solver and adjoint."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from tests.fields.examples import EXAMPLES, fourier
from tests.rays.test_nodes import Slab

from dust3d.config.model import ReferenceRays
from dust3d.fields.base import Field
from dust3d.fields.mean import ConstantMean
from dust3d.fields.structured import Filaments
from dust3d.fields.sum import SumField
from dust3d.rays import nodes, ode

STARS = jnp.asarray(np.random.default_rng(3).uniform(-0.9, 0.9, (3, 3)))
RAYS = [
    ReferenceRays(solver=solver, adjoint=adjoint, rtol=1e-8, atol=1e-8)
    for solver in ("dopri5", "tsit5")
    for adjoint in ("recursive_checkpoint", "direct", "backsolve")
]


def name_of(rays):
    """Shown by pytest."""
    return f"{rays.solver}-{rays.adjoint}"


@eqx.filter_jit
def _with_gradient(field, stars, weights, extinctions):
    """Extinctions, and the gradient of a weighted sum in the field's parameters."""
    parameters, rest = eqx.partition(field, eqx.is_inexact_array)

    def total(parameters):
        found = extinctions(eqx.combine(parameters, rest), stars)
        return jnp.sum(weights * found), found

    gradient, found = jax.grad(total, has_aux=True)(parameters)
    return found, ravel_pytree(gradient)[0]


def agree(field, ndim, rays):
    """Reference and exact rays, extinctions to 1e-5 and gradients to 1e-4."""
    stars, weights = STARS[:, :ndim], jnp.array([1.0, -0.7, 0.4])
    slow = _with_gradient(field, stars, weights, lambda f, x: ode.solve(f, x, rays))
    exact = _with_gradient(field, stars, weights, lambda f, x: nodes.moments(f, x, nodes=96)[0])
    np.testing.assert_allclose(slow[0], exact[0], rtol=0, atol=1e-5)
    scale = float(np.max(np.abs(exact[1])))
    np.testing.assert_allclose(slow[1], exact[1], rtol=0, atol=1e-4 * scale)


@pytest.mark.parametrize("ndim", [2, 3])
def test_every_field_against_exact_rays(ndim):
    # one compilation: the product of all densities, so that each class has its gradient
    agree(SumField([field for field, n in EXAMPLES.values() if n == ndim]), ndim, RAYS[0])


# the other two pairs of solver and adjoint are among the slow tests
@pytest.mark.parametrize("rays", RAYS[1:4], ids=name_of)
def test_every_solver_and_adjoint_against_exact_rays(rays):
    agree(*EXAMPLES["Fourier 2-D"], rays)


@pytest.mark.slow
@pytest.mark.parametrize("rays", RAYS, ids=name_of)
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_field_with_every_solver_and_adjoint(name, rays):
    agree(*EXAMPLES[name], rays)


def test_uniform_dust():
    found = ode.extinctions(ConstantMean(jnp.log(0.7)), STARS)
    np.testing.assert_allclose(found, 0.7 * np.linalg.norm(STARS, axis=1), rtol=1e-6)


def test_an_exponential_slab():
    z = np.asarray(STARS)[:, 2]
    expected = np.linalg.norm(STARS, axis=1) * 2 * 0.3 / z * (1 - np.exp(-z / 0.3))
    found = ode.extinctions(Slab(jnp.log(2.0), jnp.asarray(0.3)), STARS, RAYS[0])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_one_star_any_function_any_gradient():
    star = STARS[0]

    field = fourier()
    rays = RAYS[0]
    found = ode.extinction(lambda x: field(x) - 0.3 * x[0], star, settings=rays)
    exact = nodes.extinction(Tilted(field), star, nodes=40)
    assert found == pytest.approx(float(exact), abs=1e-7)
    fast = jax.grad(lambda x: ode.extinction(field, x, settings=rays))(star)
    exact = jax.grad(lambda x: nodes.extinction(field, x, nodes=40))(star)
    np.testing.assert_allclose(fast, exact, rtol=1e-4)


class Tilted(Field):
    """Another field, thinner towards positive x."""

    field: Field

    def __call__(self, position):
        return self.field(position) - 0.3 * position[0]


def test_the_sun_is_refused():
    with pytest.raises(ValueError, match="at the Sun"):
        ode.extinctions(fourier(), jnp.zeros((2, 3)))
    with pytest.raises(eqx.EquinoxRuntimeError, match="at the Sun"):
        ode.extinction(fourier(), jnp.zeros(3))


def test_batches_keep_the_order_of_the_stars():
    stars = jnp.asarray(np.random.default_rng(4).uniform(-0.9, 0.9, (7, 2)))
    found = ode.extinctions(fourier(2), stars, RAYS[0], batch=3)
    np.testing.assert_allclose(found, nodes.extinctions(fourier(2), stars, 48), atol=1e-7)


def test_a_bounded_step_sees_a_small_cloud_that_a_free_one_jumps_over():
    cloud = Filaments(
        np.log([30.0, 1e-3]),
        np.array([[0.7, 0.0], [0.0, 0.0]]),
        np.zeros((2, 2)),
        np.array([0.01, 100.0]),
    )
    star, expected = jnp.array([[1.0, 0.0]]), np.sqrt(2 * np.pi) * 0.01 * 30
    free = ode.extinctions(cloud, star, ReferenceRays())
    bounded = ode.extinctions(cloud, star, ReferenceRays(max_step_kpc=0.01))
    assert bounded[0] == pytest.approx(expected + 1e-3, rel=1e-3)
    assert free[0] < 0.1 * expected
