"""The preconditioner's dense block: that of the metric itself, if all stars are in the sample."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from tests.inference.small import fit_settings, observations, white

from dust3d.errors import FitError
from dust3d.inference import lowmodes
from dust3d.inference.batches import stars_of
from dust3d.inference.build import target_for
from dust3d.inference.dense import DenseProblem
from dust3d.inference.lowmodes import join, low_modes, split
from dust3d.inference.profiles import CHUNK, profiles_of

NODES = 24
FLOAT = jnp.dtype("float64")
LIKELIHOOD = {"zero_point_std_mag": 0.02, "floor_mag": {"median": 0.05}, "kind": "student_t"}
VERTICAL = {"mean": {"kind": "vertical", "knots_kpc": [0, 0.1, 0.3]}}
FLAT = (1.0, 0.8)


def problem(order=(2, 2, 1), box=(1.0, 0.8, 0.4), likelihood=LIKELIHOOD, prior=None, n=40):
    settings = fit_settings(order, box, likelihood=likelihood, prior={"std": 1.0} | (prior or {}))
    target = target_for(settings, 2, 1, FLOAT)
    return target, observations(n, box), white(target.start(jax.random.key(0)))


def profiles(target, xi, stars, share=1.0):
    measured = jax.tree.map(lambda a: a[0], stars_of(stars, np.arange(len(stars))[None], FLOAT))
    return profiles_of(target, xi, stars.positions, measured, nodes=NODES, share=share)


def dense_block(target, xi, stars, low):
    """Rows and columns of the dense metric, as the block has them."""
    flat, unravel = ravel_pytree(xi)
    places, _, _ = split(unravel(jnp.arange(flat.size, dtype=FLOAT)), low)
    places = np.asarray(places, dtype=int)
    _, metric = DenseProblem(target, stars, NODES, xi).gradient_and_metric(flat)
    return metric[np.ix_(places, places)]


def inverse_of(block):
    """The matrix that `solve` multiplies with."""
    return np.asarray(jax.vmap(block.solve)(jnp.eye(len(block.inverse_factor))))


@pytest.mark.parametrize(
    ("options", "low"),
    [
        ({}, 12),
        ({"prior": VERTICAL, "likelihood": {}}, 5),
        ({"order": (3, 2), "box": FLAT}, 4),
    ],
)
def test_the_block_is_that_of_the_metric(options, low):
    target, stars, xi = problem(**options)
    low = min(low, xi["field"]["varying"]["cos"].size)
    expected = dense_block(target, xi, stars, low)
    block = low_modes(target, xi, profiles(target, xi, stars), low)
    found = np.linalg.inv(inverse_of(block))
    # of the diagonal a few parts in a million are added, against rounding
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(found / size, expected / size, atol=5e-6)
    off = ~np.eye(len(size), dtype=bool)
    np.testing.assert_allclose((found / size)[off], (expected / size)[off], atol=1e-9)
    right = np.random.default_rng(0).standard_normal(len(size))
    exact = np.linalg.solve(expected, right)
    error = np.asarray(block.solve(jnp.asarray(right))) - exact
    assert error @ expected @ error < 1e-6 * (exact @ expected @ exact)


def test_a_sample_stands_for_so_many_stars():
    target, stars, xi = problem()
    one = inverse_of(low_modes(target, xi, profiles(target, xi, stars), 4))
    three = inverse_of(low_modes(target, xi, profiles(target, xi, stars, share=3.0), 4))
    metric = np.linalg.inv(one) - np.eye(len(one))
    expected = np.eye(len(one)) + 3 * metric
    np.testing.assert_allclose(np.linalg.inv(three), expected, rtol=1e-4, atol=1e-8)


def test_scatter_that_grows_with_dust_keeps_the_block_positive_and_near():
    likelihood = LIKELIHOOD | {"substructure_kpc": {"median": 0.01}}
    target, stars, xi = problem(likelihood=likelihood)
    low = xi["field"]["varying"]["cos"].size
    expected = dense_block(target, xi, stars, low)
    inverse = inverse_of(low_modes(target, xi, profiles(target, xi, stars), low))
    values = np.linalg.eigvals(inverse @ expected)
    assert np.all(np.abs(values.imag) < 1e-8)
    assert values.real.min() > 0.5
    assert values.real.max() < 2.5


@pytest.mark.parametrize("low", [1, 5, 12])
def test_splitting_is_undone(low):
    _, _, xi = problem()
    low = min(low, xi["field"]["varying"]["cos"].size)
    vector, undo, high = split(xi, low)
    assert vector.size + 2 * high[0].size == ravel_pytree(xi)[0].size
    back = join(undo(vector), high)
    assert jax.tree.structure(back) == jax.tree.structure(xi)
    jax.tree.map(np.testing.assert_array_equal, back, xi)


def test_rays_that_fill_a_chunk_up_carry_no_weight():
    target, stars, xi = problem(n=5)
    some = profiles(target, xi, stars)
    assert len(some.positions) == CHUNK
    np.testing.assert_array_equal(some.stars.weight[5:], 0)
    # the steps of a ray add up to the extinction of its star
    field = target.prior.field(xi["field"])
    t, w = np.polynomial.legendre.leggauss(60)
    points = (0.5 + 0.5 * t)[None, :, None] * stars.positions[:, None, :]
    density = np.exp(np.asarray(field.at(jnp.asarray(points.reshape(-1, 3))))).reshape(5, -1)
    expected = (density @ (w / 2)) * stars.distances
    np.testing.assert_allclose(some.steps.sum(axis=1)[:5], expected, rtol=1e-9)


def test_rounding_that_makes_the_block_indefinite_is_met_with_more_on_its_diagonal(monkeypatch):
    target, stars, xi = problem((6, 6, 3), n=5)
    single = jnp.dtype("float32")
    target = target_for(fit_settings((6, 6, 3), likelihood=LIKELIHOOD), 2, 1, single)
    xi, some = (
        jax.tree.map(lambda a: a.astype(single) if a.dtype == FLOAT else a, tree)
        for tree in (xi, profiles(target, xi, stars)._replace(share=np.ones(())))
    )
    # five stars, of 403 parameters, that are known as well as a thousand million
    some = some._replace(share=1e8)
    block = low_modes(target, xi, some, 200)
    assert bool(jnp.all(jnp.isfinite(block.inverse_factor)))
    monkeypatch.setattr(lowmodes, "_JITTERS", lowmodes._JITTERS[:1])
    with pytest.raises(FitError, match=r"not positive.*precision: float64"):
        low_modes(target, xi, some, 200)
