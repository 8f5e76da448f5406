"""Products with sparse rays: values, transposes and gradients, on the host and elsewhere."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from tests.fields.check import STEP
from tests.fields.examples import HALF_WIDTHS, fourier

from dust3d.rays import product
from dust3d.rays.grid import Grid, ln_density_on
from dust3d.rays.product import RayMatrix
from dust3d.rays.weights import ray_weights

GRID = Grid((12, 10, 6), HALF_WIDTHS)
MATRICES = [
    ray_weights(np.random.default_rng(i).uniform(-0.9, 0.9, (8, 3)), GRID, 0.5) for i in range(3)
]


@pytest.fixture(params=["host", "device"])
def matrix(request, monkeypatch):
    """Rays multiplied by scipy, and by the gather and sum that other devices take."""
    if request.param == "device":
        monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    return RayMatrix(MATRICES)


def random(*shape, seed=1):
    """Fixed random numbers."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize("batch", [0, 2])
def test_the_product_is_scipys(matrix, batch):
    density = random(GRID.size, 2)
    found = jax.jit(lambda b, d: matrix(b, d))(jnp.asarray(batch), density)
    np.testing.assert_allclose(found, MATRICES[batch] @ np.asarray(density), rtol=0, atol=1e-6)
    assert matrix.rows == 8
    assert matrix.columns == GRID.size
    assert matrix.entries == sum(m.nnz for m in MATRICES)


def test_the_adjoint_is_the_transpose(matrix):
    density, target = random(GRID.size, 2), random(8, 2, seed=2)
    values, pull = jax.vjp(lambda d: matrix(jnp.asarray(1), d), density)
    (back,) = pull(target)
    np.testing.assert_allclose(jnp.vdot(target, values), jnp.vdot(back, density), rtol=1e-10)
    np.testing.assert_allclose(back, MATRICES[1].T @ np.asarray(target), rtol=0, atol=1e-6)


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


def test_blocks_of_rows_change_nothing(monkeypatch):
    dense = np.random.default_rng(5).standard_normal((40, 60))
    dense[:3] = dense[17] = dense[-2:] = 0
    dense[9, 1:] = 0
    whole = sp.csr_array(dense)
    monkeypatch.setattr(product, "_MIN_BLOCK_ENTRIES", 10)
    monkeypatch.setattr(product, "cores", lambda: 7)
    split = RayMatrix([whole])
    assert len(split._blocks[0]) == 7
    density, target = random(60, 2), random(40, 2)
    np.testing.assert_allclose(split.forward(0, density), dense @ density, atol=1e-12)
    np.testing.assert_allclose(split.transposed(0, target), dense.T @ target, atol=1e-12)
