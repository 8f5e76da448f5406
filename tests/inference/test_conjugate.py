"""Conjugate gradients: the direct solution, what a step gains, and when to stop."""

import jax.numpy as jnp
import numpy as np
import pytest

from dust3d.errors import FitError
from dust3d.inference.conjugate import solve

SIZE = 60


def same(vector):
    return vector


@pytest.fixture(scope="module")
def system():
    """A matrix of eigenvalues from 1 to 10^4, and a right-hand side."""
    generator = np.random.default_rng(0)
    axes, _ = np.linalg.qr(generator.standard_normal((SIZE, SIZE)))
    matrix = (axes * np.logspace(0, 4, SIZE)) @ axes.T
    return jnp.asarray(matrix), jnp.asarray(generator.standard_normal(SIZE))


def solved(system, precondition=same, **options):
    matrix, right = system
    return solve(lambda v: matrix @ v, precondition, right, **({"most": 1000} | options))


def test_the_direct_solution_and_its_gain(system):
    matrix, right = system
    found = solved(system, share=1e-13)
    expected = np.linalg.solve(matrix, right)
    np.testing.assert_allclose(found.x, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    x = np.asarray(found.x)
    gain = float(right @ x - 0.5 * x @ matrix @ x)
    assert found.gain == pytest.approx(gain, rel=1e-9)
    assert found.gain == pytest.approx(0.5 * float(right @ expected), rel=1e-9)
    assert found.rest < 1e-10 * found.gain


def test_it_stops_when_little_is_added_and_says_how_much(system):
    matrix, right = system
    full = 0.5 * float(right @ np.linalg.solve(matrix, right))
    found = [solved(system, share=share) for share in (0.3, 0.03, 0.003)]
    products = [f.products for f in found]
    assert products == sorted(products)
    assert products[0] < products[-1]
    gains = [solved(system, share=1e-13, most=n).gain for n in range(1, products[-1] + 1)]
    # a longer solution goes further, and one of so many products is the same each time
    assert np.all(np.diff(gains) > 0)
    for share, some in zip((0.3, 0.03, 0.003), found, strict=True):
        n = some.products
        assert some.gain == gains[n - 1]
        assert some.rest == pytest.approx(gains[n - 1] - gains[n - 11], rel=1e-9)
        assert some.rest < share * some.gain
        assert gains[n - 2] - (gains[n - 12] if n > 11 else 0) >= share * gains[n - 2]
        assert full - some.gain < 3 * share * full


def test_gains_below_what_is_asked_for_need_not_be_known_well(system):
    strict = solved(system, share=0.01)
    loose = solved(system, share=0.01, enough=100 * strict.gain)
    # nor are they believed at once
    assert loose.products == 51 < strict.products


def test_no_more_products_than_allowed(system):
    assert solved(system, share=1e-13, most=7).products == 7
    none = solved(system, share=0.1, most=0)
    np.testing.assert_array_equal(none.x, 0)


def test_the_inverse_itself_needs_one_product(system):
    matrix, right = system
    found = solved(system, lambda v: jnp.linalg.solve(matrix, v), share=0.1, most=1)
    np.testing.assert_allclose(matrix @ found.x, right, rtol=1e-6, atol=1e-8)


def test_at_the_maximum_there_is_nothing_to_solve(system):
    matrix, right = system
    found = solve(lambda v: matrix @ v, same, 0 * right, share=0.1, most=10)
    np.testing.assert_array_equal(found.x, 0)
    assert (found.gain, found.rest, found.products) == (0.0, 0.0, 0)


@pytest.mark.parametrize(
    ("factor", "message"), [(-1.0, r"not positive.*precision: float64"), (np.nan, "not finite")]
)
def test_a_failure_is_not_taken_for_a_maximum(system, factor, message):
    with pytest.raises(FitError, match=message):
        solved(system, lambda v: factor * v, share=0.1)
    matrix, right = system
    with pytest.raises(FitError, match=message):
        solve(lambda v: factor * (matrix @ v), same, right, share=0.1, most=10)
    count = iter(range(100))

    def fails_late(v):
        return (np.nan if next(count) > 3 else 1.0) * (matrix @ v)

    if np.isnan(factor):
        with pytest.raises(FitError, match=message):
            solve(fails_late, same, right, share=0.1, most=10)


def test_a_solution_that_ran_out_of_products_says_so(system):
    assert not solved(system, share=0.01, most=5).settled
    assert not solved(system, share=0.01, enough=1e30, most=30).settled
    assert solved(system, share=0.01).settled
    # exact before the products allowed are spent
    matrix, _ = system
    assert solved(system, lambda v: jnp.linalg.solve(matrix, v), share=1e-30, most=50).settled
