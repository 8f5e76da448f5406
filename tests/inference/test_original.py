"""The original recipe: its schedules, its steps against a twin in numpy, its descent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.inference.small import fit_settings, observations

from dust3d.config import run as config
from dust3d.config.optimiser import Original, OriginalStage
from dust3d.fields.modes import fourier_modes, wavenumbers
from dust3d.inference.batches import Batches, NodeSightlines, batch_rows
from dust3d.inference.loop import Fit, Hooks, walk
from dust3d.inference.original import MomentumSGD, at_order, field_of, random_start, staircase
from dust3d.inference.recipes import OriginalRecipe
from dust3d.rays.quadrature import legendre_nodes

BOX = (1.0, 0.8)
FLOAT = jnp.dtype("float64")
NODES = 16


def stage(order=(2, 2), **options):
    values = {
        "order": order,
        "epochs": 2,
        "learning_rate": (1e-2, 1e-3),
        "drops": 2,
        "log10_weight": (-1.0, -1.5),
        "gamma": (3.6, 2.7),
    }
    return OriginalStage.model_validate(values | options)


@pytest.mark.parametrize(
    ("first", "last", "drops", "steps"),
    [(1e-3, 1e-6, 9, 2048), (5e-4, 1e-5, 6, 2048), (1e-4, 5e-7, 9, 1024)],
)
def test_learning_rates_are_stairs_of_equal_factors(first, last, drops, steps):
    rates = staircase(first, last, drops, steps)
    assert rates.shape == (steps,)
    values, lengths = np.unique(rates, return_counts=True)
    assert len(values) == drops + 1
    assert rates[0] == pytest.approx(first)
    assert rates[-1] == pytest.approx(last)
    factors = values[1:] / values[:-1]
    np.testing.assert_allclose(factors, (first / last) ** (1 / drops))
    assert lengths.max() - lengths.min() <= 1
    assert np.all(np.diff(rates) <= 0)


def test_stairs_of_fewer_steps_than_drops_still_fall():
    assert np.all(np.diff(staircase(1e-3, 1e-5, 9, 4)) < 0)


def test_the_original_configuration_has_the_originals_schedules(repository):
    run = config.load(repository / "config" / "original_sgd.yaml")
    method = run.optimiser.method
    assert isinstance(method, Original)
    assert (method.batch, method.momentum, method.clip_norm) == (4096, 0.5, 100)
    assert (method.start_slope, method.start_amplitude) == (6, 0.1)
    table = [
        (s.order, s.epochs, s.learning_rate, s.drops, s.log10_weight, s.gamma)
        for s in method.stages
    ]
    flat = (-1.5, -1.5)
    assert table == [
        ((10, 10, 2), 64, (1e-3, 1e-6), 9, (-1.0, -1.5), (3.6, 3.6)),
        ((20, 20, 4), 64, (5e-4, 1e-5), 6, flat, (3.6, 2.7)),
        ((40, 40, 8), 64, (1e-4, 1e-5), 6, flat, (2.7, 1.8)),
        ((40, 40, 8), 32, (1e-4, 5e-7), 9, flat, (1.8, 1.8)),
    ]
    assert run.box.half_widths_kpc == (10, 10, 2)


class Twin:
    """The recipe written out in numpy: direct sums, derivatives by hand."""

    def __init__(self, stars, rows, a_stage, settings):
        modes = fourier_modes(a_stage.order, True)
        self.k = np.pi * modes / np.asarray(BOX)
        self.length = np.linalg.norm(self.k, axis=1)
        self.stars, self.rows, self.stage, self.settings = stars, rows, a_stage, settings
        self.steps = a_stage.epochs * len(rows)
        self.momentum = np.zeros(2 * len(modes) + 1)
        t, self.w = legendre_nodes(NODES)
        self.points = t[:, None] * stars.positions[:, None, :]

    def gradient(self, c, rows, number):
        n = len(self.k)
        share = number / (self.steps - 1)
        low, high = self.stage.log10_weight
        weight = 10 ** (low + share * (high - low))
        gamma = self.stage.gamma[0] + share * (self.stage.gamma[1] - self.stage.gamma[0])
        phase = self.points[rows] @ self.k.T
        waves = np.concatenate([np.cos(phase), np.sin(phase), np.ones((*phase.shape[:2], 1))], -1)
        rho = np.exp(waves @ c) * self.w
        distance = self.stars.distances[rows]
        residual = self.stars.extinction[rows] - distance * rho.sum(axis=1)
        slope = -2 * np.einsum("i,i,iq,iqc->c", residual, distance, rho, waves)
        data = np.log(np.mean(residual**2))
        ridge = weight * np.concatenate([self.length**gamma] * 2 + [[0.0]])
        loss = data + np.sum(ridge * c**2)
        return loss, data, slope / np.sum(residual**2) + 2 * ridge * c, n

    def step(self, c, batch, number):
        rows = self.rows[batch][self.rows[batch] >= 0]
        loss, data, gradient, _ = self.gradient(c, rows, number)
        norm = np.linalg.norm(gradient)
        gradient = gradient * min(1, self.settings.clip_norm / norm)
        self.momentum = self.settings.momentum * self.momentum + gradient
        first, last = self.stage.learning_rate
        stair = min(self.stage.drops, int(number * (self.stage.drops + 1) / self.steps))
        rate = first * (last / first) ** (stair / self.stage.drops)
        return c - rate * self.momentum, loss, data, norm


def test_steps_are_those_of_the_twin():
    stars = observations(10, BOX)
    rows = batch_rows(10, 4, np.random.default_rng(0))
    a_stage = stage()
    settings = Original(kind="original", clip_norm=1.5, stages=(a_stage,))
    rays = NodeSightlines(stars.positions, rows, NODES, FLOAT)
    sgd = MomentumSGD(a_stage, settings, Batches(rays, stars, rows, FLOAT), BOX, True, FLOAT)
    twin = Twin(stars, rows, a_stage, settings)
    coefficients = random_start(jax.random.key(0), (2, 2), BOX, True, settings, FLOAT)
    flat = np.concatenate([coefficients[n] for n in ("cos", "sin")] + [[0.0]])
    state, norms = sgd.start(coefficients), []
    for number, batch in enumerate([0, 2, 1, 1, 0, 2]):
        flat, loss, data, norm = twin.step(flat, batch, number)
        norms.append(norm)
        coefficients, state, found, score = sgd.step(coefficients, state, batch, number)
        assert float(found) == pytest.approx(loss, rel=1e-9)
        assert float(score) == pytest.approx(-0.5 * (data + np.log(2 * np.pi) + 1), rel=1e-9)
        together = np.concatenate([coefficients[n].ravel() for n in ("cos", "sin", "mean")])
        np.testing.assert_allclose(together, flat, rtol=1e-8, atol=1e-10)
    # both sides of the clip were walked
    assert max(norms) > 1.5


def test_the_first_field_is_random_and_steep():
    settings = Original(kind="original", stages=(stage(),))
    draws = [
        random_start(jax.random.key(i), (4, 4), BOX, True, settings, FLOAT) for i in range(300)
    ]
    k = wavenumbers(fourier_modes((4, 4)), BOX)
    spread = np.std([np.asarray(d["cos"]) for d in draws], axis=0)
    np.testing.assert_allclose(spread, 0.1 * (k / k.min()) ** -6.0, rtol=4 / np.sqrt(600))
    assert all(float(d["mean"]) == 0 for d in draws)


def test_raising_the_order_leaves_the_field_as_it_is():
    settings = Original(kind="original", stages=(stage(),))
    low = random_start(jax.random.key(0), (2, 2), BOX, True, settings, FLOAT)
    low["mean"] = jnp.asarray(0.3)
    high = at_order(low, (2, 2), (4, 3), BOX, True)
    places = jnp.asarray(np.random.default_rng(0).uniform(-0.8, 0.8, (20, 2)))
    np.testing.assert_allclose(
        field_of(high, (4, 3), BOX, True).at(places),
        field_of(low, (2, 2), BOX, True).at(places),
        rtol=1e-12,
    )
    assert len(high["cos"]) == len(fourier_modes((4, 3)))


def test_a_run_through_its_stages_falls_in_loss_and_keeps_the_field_between_them():
    method = {
        "kind": "original",
        "batch": 50,
        "stages": [
            stage((1, 1), epochs=6).model_dump(),
            stage((2, 2), epochs=6, log10_weight=(-2.0, -2.5)).model_dump(),
        ],
    }
    settings = fit_settings((2, 2), BOX, optimiser={"method": method}, rays={"method": "exact"})
    recipe = OriginalRecipe(settings, observations(100, BOX), observations(20, BOX, 2), 1, None)
    fit = walk("fit", recipe, Fit(recipe.first()), Hooks(lambda _: None, 1, 0, 1e9), 1)
    table = np.asarray(fit.rows)
    assert len(table) == 12
    # the score rises in both stages and does not jump between them
    score = table[:, 4]
    assert score[5] > score[0] + 0.15
    assert score[11] > score[5]
    assert abs(score[6] - score[5]) < 0.5
    assert np.all(np.isfinite(table[:, 5]))
    assert recipe.final_field(fit.parameters).parts[0].order == (2, 2)
