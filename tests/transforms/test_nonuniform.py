"""Series at scattered points, whichever way, against separable products and finite differences."""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dust3d.fields.modes import fourier_modes
from dust3d.transforms import nonuniform
from dust3d.transforms.nonuniform import Evaluator, fastest
from dust3d.transforms.separable import lattice_coefficients

ORDER, HALF_WIDTHS = (9, 7, 4), (2.0, 1.5, 0.4)
METHODS = ["finufft", "gather", "separable"]
ROUNDING = {np.float64: 1e-13, np.float32: 2e-6}


def setting(ndim, dtype=np.float64, points=400):
    """Coefficients of the modes, points in and beyond the box, and numbers at the points."""
    rng = np.random.default_rng(5)
    coefficients = rng.standard_normal((2, len(fourier_modes(ORDER[:ndim]))))
    places = rng.uniform(-1.5, 1.5, (points, ndim)) * np.asarray(HALF_WIDTHS[:ndim])
    # the Sun, the faces and the corners
    places[:3] = np.array([[0.0], [1.0], [-1.0]]) * np.asarray(HALF_WIDTHS[:ndim])
    values = rng.standard_normal(points)
    return tuple(jnp.asarray(a, dtype) for a in (coefficients, places, values))


def series(evaluator, coefficients, points):
    ndim = points.shape[1]
    modes = fourier_modes(ORDER[:ndim])
    lattice = lattice_coefficients(modes, ORDER[:ndim], *coefficients)
    return evaluator(lattice, ORDER[:ndim], HALF_WIDTHS[:ndim], points)


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@partial(jax.jit, static_argnums=0)
def values_and_pullback(evaluator, coefficients, points, values):
    found, pull = jax.vjp(lambda c, x: series(evaluator, c, x), coefficients, points)
    return found, *pull(values)


@lru_cache
def exact(ndim):
    return values_and_pullback(Evaluator("separable"), *setting(ndim))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("dtype", "accuracy"), [(np.float64, 1e-4), (np.float64, 1e-11), (np.float32, 1e-5)]
)
@pytest.mark.parametrize("ndim", [2, 3])
def test_values_adjoint_and_slope_are_as_exact_as_promised(method, dtype, accuracy, ndim):
    coefficients, points, values = setting(ndim, dtype)
    evaluator = Evaluator(method, accuracy)
    found, *pulled = values_and_pullback(evaluator, coefficients, points, values)
    assert found.dtype == dtype
    size = np.linalg.norm(coefficients)
    assert np.sqrt(np.mean((found - exact(ndim)[0]) ** 2)) < accuracy * size
    for mine, theirs in zip(pulled, exact(ndim)[1:], strict=True):
        assert mine.dtype == dtype
        assert relative(mine, theirs) < 2 * accuracy
    # the adjoint is that of what was computed, to rounding
    left, right = jnp.vdot(found, values), jnp.vdot(coefficients, pulled[0])
    assert abs(left - right) < ROUNDING[dtype] * np.linalg.norm(found) * np.linalg.norm(values)


@pytest.mark.parametrize("method", METHODS)
def test_derivatives_along_the_points_are_finite_differences(method):
    coefficients, points, _ = setting(3, points=20)
    step, along = 1e-5, np.random.default_rng(0).standard_normal((20, 3))
    evaluator = Evaluator(method, 1e-13)
    values, slope = jax.jvp(lambda x: series(evaluator, coefficients, x), (points,), (along,))
    moved = [series(evaluator, coefficients, points + s * step * along) for s in (1, -1)]
    np.testing.assert_allclose(slope, (moved[0] - moved[1]) / (2 * step), atol=1e-5)
    gradient = jax.grad(lambda x: jnp.sum(jnp.exp(series(evaluator, coefficients, x) / 50)))(points)
    weights = np.exp(np.asarray(values) / 50) / 50
    assert float(jnp.vdot(gradient, along)) == pytest.approx(float(weights @ slope), rel=1e-10)
    # a product of both: the derivative along the points of the adjoint
    mixed = jax.jvp(
        lambda x: jax.grad(lambda c: jnp.sum(series(evaluator, c, x) ** 2))(coefficients),
        (points,),
        (along,),
    )[1]
    slow = [
        jax.grad(lambda c, s=s: jnp.sum(series(evaluator, c, points + s * step * along) ** 2))(
            coefficients
        )
        for s in (1, -1)
    ]
    assert relative(mixed, (slow[0] - slow[1]) / (2 * step)) < 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_it_is_linear_for_all_of_jax(method):
    coefficients, points, values = setting(2, points=30)
    evaluator = Evaluator(method, 1e-9)

    def function(c):
        return series(evaluator, c, points)

    @jax.jit
    def everything(c):
        forward = jax.linearize(function, c)[1](c)
        pushed = jax.jvp(function, (c,), (c,))[1]
        back = jax.linear_transpose(function, c)(values)[0]
        return function(c), forward, pushed, back, jax.vjp(function, c)[1](values)[0]

    plain, forward, pushed, back, pulled = everything(coefficients)
    for same in (forward, pushed):
        np.testing.assert_allclose(same, plain, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(back, pulled, rtol=1e-12, atol=1e-12)
    many = jnp.stack([coefficients, -2 * coefficients])
    np.testing.assert_allclose(
        jax.vmap(function)(many), jnp.stack([plain, -2 * plain]), rtol=1e-11, atol=1e-11
    )
    one_by_one = jax.vmap(lambda x: series(evaluator, coefficients, x[None])[0])(points)
    np.testing.assert_allclose(one_by_one, plain, atol=1e-7)


def test_long_lists_of_points_go_in_chunks(monkeypatch):
    coefficients, points, values = setting(3)
    exact, pull = jax.vjp(lambda c: series(Evaluator("separable"), c, points), coefficients)
    monkeypatch.setattr("dust3d.transforms.separable._ELEMENTS_PER_CHUNK", 15 * 9 * 33)
    again, pull_again = jax.vjp(lambda c: series(Evaluator("separable"), c, points), coefficients)
    np.testing.assert_allclose(again, exact, rtol=0, atol=1e-12)
    np.testing.assert_allclose(pull_again(values)[0], pull(values)[0], rtol=0, atol=1e-11)


def test_copies_of_the_grid_add_up(monkeypatch):
    """What a GPU does where all rays start."""
    coefficients, points, values = setting(3)
    exact = jax.vjp(lambda c: series(Evaluator("separable"), c, points), coefficients)[1](values)[0]
    monkeypatch.setattr("dust3d.transforms.gather._copies", lambda _: 8)
    found = jax.vjp(lambda c: series(Evaluator("gather", 2e-9), c, points), coefficients)[1](values)
    assert relative(found[0], exact) < 1e-8


def test_the_fastest_way_is_chosen_from_what_is_there(monkeypatch):
    assert fastest((4, 3, 2), 1000) == "separable"
    assert fastest((40, 40, 8), 100_000) == "finufft"
    monkeypatch.setattr(nonuniform.finufft, "installed", lambda: False)
    assert fastest((40, 40, 8), 100_000) == "gather"


def test_no_points_have_no_values():
    coefficients, points, _ = setting(3)
    for method in METHODS:
        assert series(Evaluator(method), coefficients, points[:0]).shape == (0,)
