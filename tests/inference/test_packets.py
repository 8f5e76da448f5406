"""Wave packets: windows that add up, closed forms, and how many products they save."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from tests.inference.small import white
from tests.inference.test_lowmodes import problem, profiles

from dust3d.inference import packets as packets_module
from dust3d.inference.conjugate import solve
from dust3d.inference.dense import DenseProblem
from dust3d.inference.packets import Layout, packets
from dust3d.inference.preconditioner import two_level

FLAT = (1.0, 0.8)
NODES = 24


def generator():
    return np.random.default_rng(0)


@pytest.mark.parametrize("order", [(40, 40, 8), (2, 2, 1), (16, 5), (1, 4, 20)])
def test_windows_cut_and_pasted_give_the_grid_back(order):
    layout = Layout.for_order(order)
    assert all(n > 2 * m for n, m in zip(layout.cells, order, strict=True))
    weights = [layout.weight(axis, np.arange(n) + 0.5) for axis, n in enumerate(layout.reach)]
    for axis, weight in enumerate(weights):
        # along an axis each cell lies in one window, or in two whose squares add up to 1
        total = np.zeros(layout.cells[axis])
        for n in range(layout.windows[axis]):
            cells = (n * layout.steps[axis] + np.arange(len(weight))) % len(total)
            np.add.at(total, cells, weight**2)
        np.testing.assert_allclose(total, 1, rtol=1e-12)
    window = weights[0]
    for weight in weights[1:]:
        window = window[..., None] * weight
    one = generator().standard_normal(layout.cells)
    parts = layout.cut(jnp.asarray(one))
    assert parts.shape == (*layout.windows, *layout.reach)
    np.testing.assert_allclose(layout.paste(parts * window**2), one, rtol=1e-10, atol=1e-12)
    other = generator().standard_normal(parts.shape)
    pasted = layout.paste(jnp.asarray(other))
    assert float(jnp.vdot(parts, other)) == pytest.approx(float(jnp.vdot(one, pasted)))


def matrix_of(some, high):
    """All of the approximate inverse, for so many modes."""

    def column(v):
        return jnp.concatenate(some(v[:high], v[high:]))

    return np.asarray(jax.jit(jax.vmap(column))(jnp.eye(2 * high)))


@pytest.mark.parametrize(
    "options",
    [{"order": (2, 2, 1)}, {"order": (6, 4), "box": FLAT}, {"order": (16, 2), "box": FLAT}],
)
@pytest.mark.parametrize("low", [0, 3])
def test_without_stars_the_metric_is_the_prior_s(options, low):
    target, stars, xi = problem(**options)
    some = profiles(target, xi, stars)
    some = some._replace(stars=some.stars._replace(weight=0 * some.stars.weight))
    prior = target.prior.parts["varying"]
    found = packets(prior, some, low, generator())
    high = len(prior.modes) - low
    np.testing.assert_allclose(matrix_of(found, high), np.eye(2 * high), atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"order": (6, 4, 2), "n": 200},
        {"order": (17, 3), "box": FLAT, "n": 200},
        {"order": (2, 2, 1), "n": 1},
    ],
)
def test_packets_are_symmetric_and_between_nothing_and_the_prior(options):
    target, stars, xi = problem(**options)
    prior = target.prior.parts["varying"]
    some = packets(prior, profiles(target, xi, stars), 2, generator())
    found = matrix_of(some, len(prior.modes) - 2)
    np.testing.assert_allclose(found, found.T, atol=1e-12)
    values = np.linalg.eigvalsh(found)
    assert values[0] > 0
    assert values[-1] < 1 + 1e-9
    assert values[0] < 0.9


def test_a_single_window_has_the_diagonal_of_the_metric(monkeypatch):
    monkeypatch.setattr(packets_module, "_damped", lambda layout, window, *_: window)
    target, stars, xi = problem((3, 3, 2))
    flat, unravel = ravel_pytree(xi)
    _, metric = DenseProblem(target, stars, NODES, xi).gradient_and_metric(flat)
    diagonal = unravel(jnp.asarray(np.diag(metric)))["field"]["varying"]
    # cosines and sines are alike to packets
    expected = (diagonal["cos"] + diagonal["sin"]) / 2
    prior = target.prior.parts["varying"]
    found = matrix_of(packets(prior, profiles(target, xi, stars), 0, generator()), len(expected))
    assert found.shape == (2 * len(expected), 2 * len(expected))
    np.testing.assert_allclose(np.diag(found), np.tile(1 / expected, 2), rtol=0.03)
    np.testing.assert_allclose(found - np.diag(np.diag(found)), 0, atol=1e-12)


def test_what_a_wave_is_seen_by_is_a_sum_over_rays():
    random = generator()
    waves = random.uniform(-10, 10, (50, 3))
    directions = random.standard_normal((7, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radii, amplitude = random.uniform(0, 1, (7, 30)), random.uniform(0, 1, (7, 30))
    phase = np.einsum("wd,sd,sn->wsn", waves, directions, radii)
    expected = np.sum(np.abs(np.sum(amplitude * np.exp(1j * phase), axis=2)) ** 2, axis=1)
    found = packets_module._seen(waves, directions, radii, amplitude)
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.01 * expected.max())


def test_a_layout_has_room_for_any_order():
    for order in range(1, 40):
        layout = Layout.for_order((order, order))
        assert min(layout.cells) > 2 * order
        assert max(layout.cells) < 4 * order + 4


def test_two_levels_save_most_of_the_products():
    """Fifteen products leave 0.1 % of the gain; without, thirty leave 1.4 %; a diagonal, 3 %."""
    target, stars, _ = problem((10, 10), FLAT, n=600, likelihood={})
    stars.sigma[:] = 0.03
    xi = white(target.start(jax.random.key(0)), size=0.2)
    _, metric = DenseProblem(target, stars, NODES, xi).gradient_and_metric(ravel_pytree(xi)[0])
    metric = jnp.asarray(metric)
    # the noise of the data and of the prior: no direction is forgotten
    noise = np.random.default_rng(1).standard_normal(len(metric))
    right = jnp.linalg.cholesky(metric) @ noise
    full = 0.5 * float(right @ jnp.linalg.solve(metric, right))
    two = two_level(target, xi, profiles(target, xi, stars), generator(), most=50)
    assert two.low == 25 < len(metric) / 10

    def left(way, products):
        found = solve(lambda v: metric @ v, way, right, share=1e-12, most=products)
        return 1 - found.gain / full

    assert left(two, 15) < 0.004
    for way in (lambda v: v, lambda v: v / jnp.diag(metric)):
        assert left(way, 30) > 0.01
