"""Likelihoods averaged over distance posteriors: brute force, finite differences, dense twins."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy import stats as scipy_stats
from scipy.special import logsumexp
from tests.inference.small import BOX, FULL_LIKELIHOOD, fit_settings, observations, white

from dust3d.distances import DistanceCells, cell_shares, distance_cells
from dust3d.inference.accuracy import ray_accuracy
from dust3d.inference.batches import Batches, rows_in_order, stars_of
from dust3d.inference.build import batches_for, sightlines_for, target_for
from dust3d.inference.dense import DenseProblem
from dust3d.inference.feed import Feed
from dust3d.inference.likelihood import Likelihood, Stars
from dust3d.inference.lowmodes import low_modes, split
from dust3d.inference.maximum import Climb
from dust3d.inference.memory import Budget
from dust3d.inference.prior import size_of
from dust3d.inference.products import Products
from dust3d.inference.profiles import profiles_of
from dust3d.inference.sources import ResidentStars, shuffled
from dust3d.inference.streams import StreamedBatches
from dust3d.rays.nodes import extinctions

NODES = 32
FLOAT = jnp.dtype("float64")
SCALE = 0.3
GAUSSIAN = {"kind": "gaussian", "zero_point_std_mag": 0.02, "floor_mag": {"median": 0.05}}
METHODS = ["production", "exact", "reference"]


def uncertain(n=30, cells=4, error=0.2, box=BOX, seed=1):
    """Stars with parallaxes and their distance posteriors in cells inside the box."""
    stars = observations(n, box, seed)
    parallax = 1 / stars.distances
    found = distance_cells(parallax, np.full(n, error) * parallax, SCALE, cells)
    faces = np.min(np.asarray(box) / np.abs(stars.positions), axis=1) * stars.distances
    return replace(stars, cells=found.within((1 - 1e-12) * faces))


def settings_of(method="exact", likelihood=FULL_LIKELIHOOD, **options):
    rays = {
        "method": method,
        "production": {"oversampling": 8, "kernel": "cubic"},
        "exact": {"nodes": NODES},
        "reference": {"rtol": 1e-9, "atol": 1e-11},
    }
    return fit_settings(rays=rays, likelihood=likelihood, **options)


def problem(stars, method="exact", likelihood=FULL_LIKELIHOOD, batch=13, **options):
    """Settings, products and a place of a small fit."""
    settings = settings_of(method, likelihood, **options)
    target = target_for(settings, 2, 1, settings.dtype)
    xi = white(target.start(jax.random.key(0)))
    batches = batches_for(settings, stars, rows_in_order(len(stars), batch))
    return settings, Products(target, batches, xi), xi, ravel_pytree(xi)[0]


def field_at(products, flat):
    return products.target.prior.field(products.unravel(flat)["field"])


@pytest.mark.parametrize("likelihood", [FULL_LIKELIHOOD, GAUSSIAN])
@pytest.mark.parametrize("method", METHODS)
def test_the_likelihood_is_the_stated_mixture(method, likelihood):
    stars = uncertain()
    _, products, xi, flat = problem(stars, method, likelihood)
    nuisance = products.target.likelihood.nuisance(xi["likelihood"])
    field, cells = field_at(products, flat), stars.cells
    ends = stars.ends.reshape(-1, 3)
    np.testing.assert_allclose(np.linalg.norm(stars.ends, axis=2), cells.distance, rtol=1e-12)
    first = extinctions(field, ends, 60).reshape(cells.distance.shape)
    doubled = lambda x: 2 * field(x)  # noqa: E731
    t, w = np.polynomial.legendre.leggauss(60)
    points = (0.5 + 0.5 * t)[None, :, None] * ends[:, None, :]
    squared = jnp.exp(jax.vmap(doubled)(jnp.asarray(points.reshape(-1, 3)))).reshape(len(ends), -1)
    second = (np.asarray(squared) @ (w / 2) * np.linalg.norm(ends, axis=1)).reshape(first.shape)
    zero = np.asarray(nuisance.zero_points_mag)[stars.classes]
    own = (float(nuisance.error_inflation) * stars.sigma) ** 2 + float(nuisance.floor_mag) ** 2
    variance = own[:, None] + float(nuisance.substructure_kpc) * second
    slope = np.diff(first, axis=1) / np.diff(cells.distance, axis=1).clip(1e-300)
    slope[np.diff(cells.distance, axis=1) == 0] = 0
    inner = np.zeros_like(slope[:, 1:])
    rising = slope[:, :-1] * slope[:, 1:] > 0
    inner[rising] = 2 / (1 / slope[:, :-1] + 1 / slope[:, 1:])[rising]
    slopes = np.concatenate([slope[:, :1], inner, slope[:, -1:]], axis=1)
    scale = np.sqrt(variance + (slopes * cells.spread) ** 2)
    residual = stars.extinction[:, None] - first - zero[:, None]
    if likelihood is GAUSSIAN:
        each = scipy_stats.norm.logpdf(residual, scale=scale)
    else:
        each = scipy_stats.t.logpdf(residual, 4.0, scale=scale)
    expected = logsumexp(each + np.log(cell_shares(4)), axis=1).sum() - 0.5 * float(flat @ flat)
    rel = {"exact": 1e-7, "reference": 1e-6, "production": 1e-3}[method]
    assert products.log_posterior(flat) == pytest.approx(expected, rel=rel)


@pytest.mark.parametrize(("cells", "limit"), [(7, 0.06), (31, 0.004)])
def test_the_average_is_the_integral_over_distance(cells, limit):
    stars = uncertain(40, cells)
    _, products, xi, flat = problem(stars, likelihood={})
    field = field_at(products, flat)
    parallax, steps = 1 / stars.distances, np.linspace(-6, 6, 4001)
    # measured where the star is likely to be
    true = (1 + 0.2 * np.random.default_rng(5).standard_normal(40).clip(-1.5, 1.5)) / parallax
    places = stars.positions * (true / stars.distances)[:, None]
    noise = stars.sigma * np.random.default_rng(6).standard_normal(40)
    stars = replace(stars, extinction=extinctions(field, places, NODES) + noise)
    nuisance = products.target.likelihood.nuisance(xi["likelihood"])
    scale = float(nuisance.error_inflation) * stars.sigma
    faces = np.min(np.asarray(BOX) / np.abs(stars.positions), axis=1) * stars.distances
    measured = jax.tree.map(lambda a: a[0], stars_of(stars, np.arange(40)[None], FLOAT))
    first = jnp.asarray(extinctions(field, stars.ends.reshape(-1, 3), NODES).reshape(40, -1))
    found = products.target.likelihood.log_likelihood(nuisance, first, 0 * first, measured)
    inside = []
    for i in range(40):
        # beyond the box the extinction is that at the face
        r = np.exp(np.log(stars.distances[i]) + 0.25 * steps)
        sigmas = (1 - 1 / (r * parallax[i])) / 0.2
        ln_weight = 3 * np.log(r) - r / SCALE - 0.5 * sigmas**2
        weight = np.exp(ln_weight - ln_weight.max())
        seen = np.minimum(r, faces[i])
        ends = stars.positions[i] / stars.distances[i] * seen[:, None]
        a = extinctions(field, ends, NODES)
        density = scipy_stats.norm.pdf(stars.extinction[i], a, scale[i])
        inside.append(np.log(np.sum(weight * density) / weight.sum()))
    error = np.asarray(found) - inside
    assert np.sqrt(np.mean(error**2)) < limit


@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_finite_differences(method):
    stars = uncertain(5)
    _, products, _, flat = problem(stars, method, batch=5)
    target, (rays, batch, measured) = products.target, products.batches.at(0)

    @jax.jit
    def value(flat):
        return target.log_likelihood(products.unravel(flat), rays, batch, measured)

    gradient = np.asarray(jax.grad(value)(flat))
    generator, step = np.random.default_rng(2), 1e-5
    for _ in range(3):
        direction = generator.standard_normal(flat.size)
        direction /= np.linalg.norm(direction)
        up, down = (float(value(flat + s * step * direction)) for s in (1, -1))
        expected = pytest.approx(gradient @ direction, abs=2e-6 * np.linalg.norm(gradient))
        assert (up - down) / (2 * step) == expected


@pytest.mark.parametrize("likelihood", [FULL_LIKELIHOOD, GAUSSIAN])
def test_values_gradients_and_metric_are_those_of_the_dense_twin(likelihood):
    stars = uncertain(37)
    _, products, xi, flat = problem(stars, likelihood=likelihood)
    dense = DenseProblem(products.target, stars, 60, xi)
    expected, metric = dense.gradient_and_metric(flat)
    value, gradient, anchors = products.expand(flat)
    assert value == pytest.approx(dense.log_posterior(flat), rel=1e-8)
    assert products.log_posterior(flat) == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    for v in np.random.default_rng(3).standard_normal((3, flat.size)):
        found = products.multiply(flat, anchors, jnp.asarray(v))
        np.testing.assert_allclose(found, metric @ v, rtol=1e-6, atol=1e-7 * np.abs(metric).max())
    # symmetric, and at least the prior's
    np.testing.assert_allclose(metric, metric.T, rtol=1e-12, atol=1e-12 * np.abs(metric).max())
    assert np.linalg.eigvalsh(metric).min() > 1 - 1e-9
    # straight lines for small steps
    step = 1e-5 * jnp.asarray(np.random.default_rng(0).standard_normal(flat.size))
    straight = products.multiply(flat, anchors, step)
    bent = products.curved(flat, anchors, flat + step)
    np.testing.assert_allclose(bent, straight, rtol=1e-3, atol=1e-8)


def test_noise_has_the_metric_as_its_covariance():
    _, products, _, flat = problem(uncertain(20), batch=20)
    _, _, anchors = products.expand(flat)
    metric = np.stack([products.multiply(flat, anchors, v) for v in jnp.eye(flat.size)])
    keys = jax.random.split(jax.random.key(1), 1500)
    noise = np.stack([products.noise(flat, anchors, key) for key in keys])
    whitened = noise @ np.linalg.inv(np.linalg.cholesky(metric)).T
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(flat.size), atol=5.5 / np.sqrt(1500))


def test_production_rays_have_a_symmetric_metric_close_to_that_of_exact_ones():
    stars = uncertain(30)
    _, production, _, flat = problem(stars, "production")
    _, exact, _, _ = problem(stars)
    (_, _, anchors), (_, _, exact_anchors) = production.expand(flat), exact.expand(flat)
    u, v = (jnp.asarray(a) for a in np.random.default_rng(1).standard_normal((2, flat.size)))
    by_u, by_v = (production.multiply(flat, anchors, a) for a in (u, v))
    assert float(u @ by_v) == pytest.approx(float(v @ by_u), rel=1e-6)
    twin = exact.multiply(flat, exact_anchors, v)
    assert np.linalg.norm(by_v - twin) < 1e-2 * np.linalg.norm(twin)


def test_a_posterior_of_no_width_is_a_known_distance():
    stars = observations(25)
    distance = np.repeat(stars.distances[:, None], 4, axis=1)
    certain = replace(stars, cells=DistanceCells(distance, np.zeros_like(distance)))
    _, one, _, flat = problem(stars)
    _, four, _, _ = problem(certain)
    (value, gradient, anchors), (same, alike, others) = one.expand(flat), four.expand(flat)
    assert same == pytest.approx(value, rel=1e-10)
    np.testing.assert_allclose(alike, gradient, rtol=1e-7, atol=1e-7)
    v = jnp.asarray(np.random.default_rng(1).standard_normal(flat.size))
    expected = one.multiply(flat, anchors, v)
    np.testing.assert_allclose(four.multiply(flat, others, v), expected, rtol=1e-7, atol=1e-7)


def test_a_steep_slope_is_no_straight_line():
    # a cloud between the second and the third cell: no variance inside of them
    settings = fit_settings().likelihood
    some = Likelihood(settings, 1, FLOAT)
    stars = replace(
        observations(1), cells=DistanceCells(np.arange(1.0, 5.0)[None], np.full((1, 4), 0.3))
    )
    measured = stars_of(stars, np.arange(1), FLOAT)
    nuisance = some.nuisance(some.start())
    for first, expected in [
        ([0.0, 0.0, 1.0, 1.0], [0, 0, 0, 0]),
        ([1.0, 2.0, 3.0, 4.0], [0.09] * 4),
        ([0.0, 1.0, 4.0, 4.0], [0.09, (1.5 * 0.3) ** 2, 0, 0]),
    ]:
        extinction = jnp.asarray([first])
        _, _, variance = some.components(nuisance, extinction, 0 * extinction, measured)
        inside = np.asarray(variance) - float(stars.sigma[0]) ** 2
        np.testing.assert_allclose(inside, [expected], atol=1e-12)


def feed(stream, method, stars):
    train = ResidentStars(stars, 1, shuffled(len(stars), 1))
    heldout = ResidentStars(uncertain(9, seed=2), 1)
    method_of = {"method": {"kind": "adam", "batch": 8}}
    some = settings_of(method, optimiser=method_of)
    return Feed(some, train, heldout, 1, Budget(stream, None), 30)


@pytest.mark.parametrize("method", ["production", "exact"])
def test_streamed_batches_are_those_in_memory(method):
    stars = uncertain(21)
    target = target_for(settings_of(), 2, 1, FLOAT)
    xi = white(target.start(jax.random.key(0)))
    likelihood = eqx.filter_jit(target.log_likelihood)
    both = [feed(stream, method, stars).both() for stream in (False, True)]
    for resident, streamed in zip(*both, strict=True):
        assert isinstance(streamed, StreamedBatches)
        for one, two in zip(resident.walk(), streamed.walk(), strict=True):
            assert one[2].cells.distance.shape == (resident.size, 4)
            there = np.asarray(one[2].weight) > 0
            np.testing.assert_array_equal(one[2].cells.spread[there], two[2].cells.spread[there])
            assert float(likelihood(xi, *two)) == pytest.approx(float(likelihood(xi, *one)))
        resident.release()
        streamed.release()


_SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("iterative", "streamed")]


@pytest.mark.parametrize("method", ["dense", *_SLOW])
def test_newton_steps_end_at_the_maximum(method):
    stars = uncertain(120)
    newton = {"method": "dense" if method == "dense" else "iterative"}
    newton |= {"max_steps": 60, "tolerance": 1e-6, "share": 1e-4}
    optimiser = {"newton": newton, "method": {"kind": "adam", "batch": 50}}
    stream = method == "streamed"
    settings = settings_of("production", optimiser=optimiser)
    target = target_for(settings, 2, 1, FLOAT)
    xi = target.start(jax.random.key(0))
    train = ResidentStars(stars, 1, shuffled(120, 1))
    heldout = ResidentStars(uncertain(9, seed=2), 1)
    some = Feed(settings, train, heldout, 1, Budget(stream, None), size_of(xi))
    some.both()
    way = Climb(some, target, refinements=0, nodes=NODES, after=lambda *_: None)
    end, steps = way.run(xi)
    assert steps[-1].predicted_gain < 1e-6 * 120
    dense = DenseProblem(target, stars, NODES, end)
    gradient, metric = dense.gradient_and_metric(ravel_pytree(end)[0])
    assert 0.5 * gradient @ np.linalg.solve(metric, gradient) < 1e-4 * 120


def test_the_preconditioner_s_block_is_near_that_of_the_metric():
    stars = uncertain(60, cells=5)
    _, products, xi, flat = problem(stars, likelihood=GAUSSIAN)
    _, metric = DenseProblem(products.target, stars, 60, xi).gradient_and_metric(flat)
    low = xi["field"]["varying"]["cos"].size
    unravel = products.unravel
    places = np.asarray(split(unravel(jnp.arange(flat.size, dtype=FLOAT)), low)[0], dtype=int)
    measured = jax.tree.map(lambda a: a[0], stars_of(stars, np.arange(60)[None], FLOAT))
    profiles = profiles_of(products.target, xi, stars.positions, measured, nodes=60, share=1.0)
    block = low_modes(products.target, xi, profiles, low)
    inverse = np.asarray(jax.vmap(block.solve)(jnp.eye(len(places))))
    values = np.linalg.eigvals(inverse @ metric[np.ix_(places, places)]).real
    assert values.min() > 0.9
    assert values.max() < 1.1


def test_rays_to_all_cells_are_measured():
    stars = uncertain(40)
    settings, products, _, flat = problem(stars, "production")
    accuracy = ray_accuracy(
        field_at(products, flat), products.batches, stars, first_nodes=8, limit_sigma=0.01
    )
    field = field_at(products, flat)
    expected = extinctions(field, stars.ends.reshape(-1, 3), 128).reshape(40, 4)
    rays, rows = sightlines_for(settings, stars.ends, rows_in_order(40, 40)), jnp.asarray(0)
    found, _ = rays.moments(field, rows, False)
    error = np.abs(np.asarray(found) - expected) / stars.sigma[:, None]
    assert accuracy.error_sigma_p99 == pytest.approx(np.percentile(error, 99), rel=0.05)


def test_single_precision_stays_single():
    stars = uncertain(8)
    _, products, xi, _ = problem(stars, optimiser={"precision": "float32"})
    shape = jax.eval_shape(
        lambda xi: products.target.log_likelihood(xi, *products.batches.at(0)), xi
    )
    assert shape.dtype == jnp.float32
    assert isinstance(products.batches, Batches)
    assert isinstance(products.batches.stars(0), Stars)
