"""Products with sparse rays: values, transposes and derivatives, on the host and elsewhere."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from tests.fields.check import STEP
from tests.fields.examples import HALF_WIDTHS, fourier

from dust3d.rays import product
from dust3d.rays.device import DeviceRays
from dust3d.rays.grid import Grid, ln_density_on
from dust3d.rays.product import RayMatrix, ResidentRays, row_blocks
from dust3d.rays.scheme import Scheme
from dust3d.rays.weights import ray_weights

GRID = Grid((12, 10, 6), HALF_WIDTHS)
SCHEME = Scheme("trilinear", (GRID,), 0.0)
MATRICES = [
    ray_weights(np.random.default_rng(i).uniform(-0.9, 0.9, (8, 3)), SCHEME) for i in range(3)
]


@pytest.fixture(params=["host", "device"])
def matrix(request):
    """Rays multiplied by scipy, and by the gathers and sums that other devices take."""
    if request.param == "device":
        return DeviceRays(MATRICES)
    return RayMatrix(ResidentRays(MATRICES))


def random(*shape, seed=1):
    """Fixed random numbers."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize("batch", [0, 2])
def test_the_product_is_scipys(matrix, batch):
    density = random(GRID.size, 2)
    found = eqx.filter_jit(lambda m, b, d: m(b, d))(matrix, jnp.asarray(batch), density)
    np.testing.assert_allclose(found, MATRICES[batch] @ np.asarray(density), rtol=0, atol=1e-12)


def test_the_adjoint_is_the_transpose(matrix):
    density, target = random(GRID.size, 2), random(8, 2, seed=2)
    values, pull = jax.vjp(lambda d: matrix(jnp.asarray(1), d), density)
    (back,) = pull(target)
    np.testing.assert_allclose(jnp.vdot(target, values), jnp.vdot(back, density), rtol=1e-12)
    np.testing.assert_allclose(back, MATRICES[1].T @ np.asarray(target), rtol=0, atol=1e-12)


def test_it_is_linear_for_all_of_jax(matrix):
    density, step, target = random(GRID.size, 2), random(GRID.size, 2, seed=4), random(8, 2)
    batch, dense = jnp.asarray(2), MATRICES[2].toarray()

    def of_log(x):
        return matrix(batch, jnp.exp(x))

    value, rate = jax.jit(lambda x, v: jax.jvp(of_log, (x,), (v,)))(density, step)
    np.testing.assert_allclose(rate, dense @ (np.exp(density) * step), atol=1e-12)
    linear = jax.linearize(of_log, density)[1]
    np.testing.assert_allclose(jax.jit(linear)(step), rate, atol=1e-12)
    (back,) = jax.jit(jax.linear_transpose(linear, step))(target)
    np.testing.assert_allclose(back, np.exp(density) * (dense.T @ target), atol=1e-12)
    pull = jax.vjp(lambda d: matrix(batch, d), density)[1]
    (again,) = jax.linear_transpose(lambda g: pull(g)[0], target)(step)
    np.testing.assert_allclose(again, dense @ step, atol=1e-12)
    half_square = jax.grad(lambda x: 0.5 * jnp.sum(of_log(x) ** 2))
    curved = jax.jit(lambda x, v: jax.jvp(half_square, (x,), (v,))[1])(density, step)
    slow = np.exp(density) * (dense.T @ rate) + np.exp(density) * step * (dense.T @ value)
    np.testing.assert_allclose(curved, slow, atol=1e-11)


def test_vmap_adds_columns_or_walks_over_batches(matrix):
    many = random(5, GRID.size, 2)
    found = jax.jit(jax.vmap(lambda d: matrix(jnp.asarray(1), d)))(many)
    np.testing.assert_allclose(found, MATRICES[1].toarray() @ np.asarray(many), atol=1e-12)
    found = jax.vmap(matrix, in_axes=(0, None))(jnp.arange(3), many[0])
    for i, some in enumerate(MATRICES):
        np.testing.assert_allclose(found[i], some @ np.asarray(many[0]), atol=1e-12)
    pulled = jax.vmap(jax.vjp(lambda d: matrix(jnp.asarray(1), d), many[0])[1])(random(5, 8, 2))[0]
    assert pulled.shape == many.shape


def test_batches_in_a_loop_share_one_program(matrix):
    density = random(GRID.size, 1)

    def total(d):
        def add(sum_, batch):
            return sum_ + jnp.sum(matrix(batch, jnp.exp(d)) ** 2), None

        return jax.lax.scan(add, jnp.zeros(()), jnp.arange(3))[0]

    value, gradient = jax.jit(jax.value_and_grad(total))(density)
    dense = np.concatenate([m.toarray() for m in MATRICES])
    rho = np.exp(density)
    assert value == pytest.approx(np.sum((dense @ rho) ** 2), rel=1e-12)
    np.testing.assert_allclose(gradient, 2 * rho * (dense.T @ (dense @ rho)), atol=1e-11)


def test_the_gradient_in_the_field_is_the_finite_difference(matrix):
    field, target = fourier(), random(8, 1, seed=2)

    @eqx.filter_jit
    def total(shift):
        moved = eqx.tree_at(lambda f: f.cos, field, field.cos + shift)
        density = jnp.exp(ln_density_on(moved, GRID, jnp.dtype("float64"))).reshape(-1, 1)
        return jnp.vdot(target, matrix(jnp.asarray(0), density))

    direction = random(len(field.cos), seed=3)
    fast = jax.grad(total)(jnp.zeros_like(direction)) @ direction
    slow = (total(STEP * direction) - total(-STEP * direction)) / (2 * STEP)
    assert fast == pytest.approx(float(slow), rel=1e-4)


def test_single_precision_stays_single(matrix):
    density = random(GRID.size, 1).astype(jnp.float32)
    found = matrix(jnp.asarray(0), density)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, MATRICES[0] @ np.asarray(density), rtol=0, atol=1e-5)


def awkward(batches=1):
    """Matrices with empty rows and columns, a row with one entry and a column that all share."""
    dense = np.random.default_rng(5).standard_normal((batches, 40, 60))
    dense[np.random.default_rng(6).random(dense.shape) < 0.7] = 0
    dense[:, :, 0] = 3.0
    dense[:, :3] = dense[:, 17] = dense[:, -2:] = 0
    dense[:, 9, 1:] = 0
    dense[:, :, 5:9] = 0
    dense[0, :, 1:] *= dense.shape[0] == 1
    return dense


def test_blocks_of_rows_change_nothing(monkeypatch):
    dense = awkward()[0]
    monkeypatch.setattr(product, "_MIN_BLOCK_ENTRIES", 10)
    monkeypatch.setattr(product, "cores", lambda: 7)
    whole = sp.csr_array(dense)
    split = RayMatrix(ResidentRays([whole]))
    blocks = split.source.blocks(0)
    assert len(blocks) == 7
    assert (sp.vstack(blocks) != whole).nnz == 0
    density, target = random(60, 2), random(40, 2)
    np.testing.assert_allclose(split.forward(0, density), dense @ density, atol=1e-12)
    np.testing.assert_allclose(split.transposed(0, target), dense.T @ target, atol=1e-12)


def test_one_core_takes_the_matrix_whole(monkeypatch):
    monkeypatch.setattr(product, "cores", lambda: 1)
    whole = sp.csr_array(awkward()[0])
    assert row_blocks(whole) == [whole]


def test_sums_on_a_device_take_as_many_stages_as_the_fullest_voxel_needs():
    dense = awkward(3)
    rays = DeviceRays([sp.csr_array(d) for d in dense])
    assert len(rays.transposed.members) >= 1
    for i, some in enumerate(dense):
        density, target = random(60, 2), random(40, 2)
        batch = jnp.asarray(i)
        np.testing.assert_allclose(rays(batch, density), some @ density, atol=1e-12)
        back = jax.vjp(lambda d, b=batch: rays(b, d), density)[1](target)[0]
        np.testing.assert_allclose(back, some.T @ target, atol=1e-12)


def test_rays_of_a_device_are_no_constants_of_a_program():
    rays, density = DeviceRays(MATRICES), random(GRID.size, 1)
    arrays, rest = eqx.partition(rays, eqx.is_array)
    made = jax.make_jaxpr(lambda a, d: eqx.combine(a, rest)(jnp.asarray(0), d))(arrays, density)
    assert sum(np.size(c) for c in made.consts) < 10
