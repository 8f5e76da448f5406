"""Newton steps of a whole fit: one maximum by every way, that of the exact posterior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from tests.inference.small import FULL_LIKELIHOOD, fit_settings, observations

from dust3d.config.optimiser import Newton
from dust3d.errors import FitError
from dust3d.inference.build import target_for
from dust3d.inference.dense import DenseProblem, is_dense
from dust3d.inference.feed import Feed
from dust3d.inference.maximum import Climb, size_of
from dust3d.inference.memory import Budget
from dust3d.inference.newton import Uphill, polish
from dust3d.inference.sources import ResidentStars, shuffled

NODES = 24
FLOAT = jnp.dtype("float64")
TOLERANCE = 1e-7
FINE = {"production": {"oversampling": 5, "kernel": "cubic"}}
# of a star's sigma these rays are off by much
COARSE = {"production": {"oversampling": 1.1, "kernel": "trilinear"}}


def climb(
    *, n=150, order=(2, 2, 1), box=(1.0, 0.8, 0.4), form="cos_sin", rays=FINE, stream=False,
    start=None, likelihood=FULL_LIKELIHOOD, prior=None, ascent=None, kept=None, **newton
):  # fmt: skip
    """Where Newton steps lead from the prior's start, the steps, and the dense problem."""
    newton = {"tolerance": TOLERANCE, "method": "iterative", "share": 1e-4} | newton
    settings = fit_settings(
        order, box, form=form, rays=rays, likelihood=likelihood, prior={"std": 1.0} | (prior or {}),
        optimiser={"newton": newton, "method": {"kind": "adam", "batch": 60}, "stream": stream},
    )  # fmt: skip
    stars = observations(n, box)
    target = target_for(settings, 2, 1, FLOAT)
    train = ResidentStars(stars, 1, shuffled(n, 1))
    heldout = ResidentStars(observations(9, box, seed=2), 1)
    xi = target.start(jax.random.key(0)) if start is None else start
    feed = Feed(settings, train, heldout, 1, Budget(stream, None), size_of(xi))
    feed.both()
    kept = [] if kept is None else kept
    way = Climb(
        feed, target, refinements=0, nodes=NODES, after=lambda _, place: kept.append(place),
        ascent=ascent,
    )  # fmt: skip
    end, steps = way.run(xi)
    before = 0 if ascent is None else len(ascent.steps)
    assert [len(place.steps) for place in kept] == list(range(before + 1, len(steps) + 1))
    dense = DenseProblem(target, stars, NODES, end)
    return end, steps, dense


@pytest.fixture(scope="module")
def by_dense():
    return climb(method="dense", max_steps=60)


def field_of(end):
    return ravel_pytree(end)[0]


@pytest.mark.parametrize(
    ("form", "rays"), [("cos_sin", FINE), ("cos_sin", COARSE), ("amplitude_phase", FINE)]
)
def test_products_lead_to_the_maximum_that_dense_steps_find(form, rays, by_dense):
    end, steps, dense = climb(form=form, rays=rays, max_steps=60)
    best, dense_steps, twin = by_dense
    assert steps[-1].predicted_gain < TOLERANCE * 150
    assert dense_steps[-1].predicted_gain < TOLERANCE * 150
    assert all(step.products > 0 for step in steps)
    assert not any(step.products for step in dense_steps)
    expected = twin.log_posterior(field_of(best))
    assert dense.log_posterior(field_of(end)) == pytest.approx(expected, abs=1e-3)
    assert steps[-1].log_posterior == pytest.approx(expected, abs=1e-3)
    if form == "cos_sin":
        np.testing.assert_allclose(field_of(end), field_of(best), atol=2e-2)


def test_a_climb_goes_on_with_what_it_remembers():
    places, options = [], {"max_steps": 60, "tolerance": 1e-3}
    end, steps, _ = climb(kept=places, **options)
    # a place whose next step takes the preconditioner of an earlier one
    place = next(
        p
        for p, q in zip(places, places[1:], strict=False)
        if not p.rests and np.array_equal(p.memory.made_at, q.memory.made_at)
    )
    again, found, _ = climb(ascent=place, **options)
    assert found == steps
    np.testing.assert_array_equal(field_of(again), field_of(end))


def test_without_exact_rays_the_maximum_is_that_of_coarse_ones(by_dense):
    best, _, twin = by_dense
    expected = twin.log_posterior(field_of(best))
    end, steps, dense = climb(rays=COARSE, exact=False, max_steps=60)
    assert steps[-1].predicted_gain < TOLERANCE * 150
    assert dense.log_posterior(field_of(end)) < expected - 0.1


def test_streamed_stars_lead_to_the_same_maximum(by_dense):
    best, _, _ = by_dense
    end, steps, _ = climb(stream=True, method="dense", max_steps=60)
    # a dense matrix is for stars in memory
    assert all(step.products > 0 for step in steps)
    np.testing.assert_allclose(field_of(end), field_of(best), atol=2e-2)


@pytest.mark.parametrize(
    "options",
    [
        {"prior": {"mean": {"kind": "vertical", "knots_kpc": [0, 0.1, 0.3]}}},
        {"n": 1},
        pytest.param(
            {"order": (5, 2), "box": (1.0, 0.8), "block_parameters": 6}, marks=pytest.mark.slow
        ),
    ],
)
def test_small_and_odd_fits_reach_their_maximum(options):
    n = options.get("n", 150)
    end, steps, dense = climb(tolerance=1e-5, **options)
    assert steps[-1].predicted_gain < 1e-5 * n
    # the dense twin sees no more to gain than that, or little
    gradient, metric = dense.gradient_and_metric(field_of(end))
    assert 0.5 * gradient @ np.linalg.solve(metric, gradient) < 1e-4 * n


@pytest.mark.slow
def test_reference_rays_are_polished_on_exact_ones(by_dense):
    best, _, twin = by_dense
    end, _, dense = climb(rays={"method": "reference"}, start=best)
    assert dense.log_posterior(field_of(end)) == pytest.approx(
        twin.log_posterior(field_of(best)), abs=1e-3
    )


def test_dense_steps_are_for_few_parameters_and_stars():
    newton = Newton(dense_parameters=100, dense_entries=5000)
    assert is_dense(newton, 100, 50)
    assert not is_dense(newton, 101, 10)
    assert not is_dense(newton, 100, 51)
    assert is_dense(newton.model_copy(update={"method": "dense"}), 10**4, 10**6)
    assert not is_dense(newton.model_copy(update={"method": "iterative"}), 1, 1)


def test_what_is_not_finite_is_no_maximum():
    class Lost:
        def log_posterior(self, flat):
            return np.nan

        def uphill(self, flat):
            return Uphill(np.nan, flat, 0.0, 0.0, 0)

        def along(self, flat, direction, length):
            return flat

    with pytest.raises(FitError, match=r"fit: after 0 Newton steps ln posterior is nan.*learning"):
        polish(Lost(), {"a": jnp.zeros(2)}, max_steps=3, tolerance=0.1, title="fit")


def test_a_step_that_does_not_rise_ends_the_climb_and_says_so(caplog):
    class Stuck:
        def log_posterior(self, flat):
            return -1.0

        def uphill(self, flat):
            return Uphill(0.0, flat + 1, 2.0, 1.0, 5)

        def along(self, flat, direction, length):
            return flat + length * direction

    end, steps = polish(Stuck(), {"a": jnp.zeros(2)}, max_steps=3, tolerance=0.1, title="fit")
    np.testing.assert_array_equal(end["a"], 0)
    assert [(s.length, s.predicted_gain, s.products) for s in steps] == [(0.0, 1.0, 5)]
    assert "no part of the step raises ln posterior" in caplog.text
