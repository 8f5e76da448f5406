"""Streams: the same batches and the same fit as in memory, with a few batches in memory."""

import gc
import threading
import weakref

import equinox as eqx
import jax
import numpy as np
import pytest
from tests.inference.small import FULL_LIKELIHOOD, fit_settings, observations, white

from dust3d.inference import feed as feed_module
from dust3d.inference.batches import StarBatches
from dust3d.inference.build import target_for
from dust3d.inference.feed import Feed, Scratch
from dust3d.inference.loop import Fit, Hooks, walk
from dust3d.inference.memory import Budget
from dust3d.inference.prefetch import Prefetched
from dust3d.inference.recipes import AdamRecipe, OriginalRecipe
from dust3d.inference.sources import ResidentStars, shuffled
from dust3d.inference.streams import KEPT, StreamedBatches
from dust3d.rays.weights import ray_blocks

STAGE = {
    "epochs": 3,
    "drops": 2,
    "log10_weight": [-2.0, -3.0],
    "gamma": [3.6, 1.8],
    "learning_rate": [1e-3, 1e-4],
}
ADAM = {"kind": "adam", "epochs": 3, "batch": 8}
ORIGINAL = {
    "kind": "original",
    "batch": 8,
    "stages": [{"order": [1, 1, 1]} | STAGE, {"order": [2, 2, 1]} | STAGE],
}


def settings(rays="production", method=ADAM, **options):
    rays = {"method": rays, "production": {"oversampling": 4, "kernel": "deconvolved"}}
    optimiser = {"method": method} | options
    return fit_settings(rays=rays, likelihood=FULL_LIKELIHOOD, optimiser=optimiser)


def feed(stream, rays="production", n=21, scratch=None):
    some = settings(rays)
    train = ResidentStars(observations(n), 1, shuffled(n, 1))
    heldout = ResidentStars(observations(9, seed=2), 1)
    return Feed(some, train, heldout, 1, Budget(stream, None), 30, scratch)


@pytest.mark.parametrize("rays", ["production", "exact"])
def test_streamed_batches_are_those_in_memory(rays):
    target = target_for(settings(), 2, 1, settings().dtype)
    field = target.prior.field(white(target.start(jax.random.key(0)))["field"])
    moments = eqx.filter_jit(lambda rays, batch: rays.moments(field, batch, True))
    for resident, streamed in zip(feed(False, rays).both(), feed(True, rays).both(), strict=True):
        assert isinstance(streamed, StreamedBatches)
        assert isinstance(resident, StarBatches)
        assert not isinstance(resident, StreamedBatches)
        for name in ("count", "size", "number"):
            assert getattr(streamed, name) == getattr(resident, name)
        order = list(reversed(range(resident.count)))
        found = list(streamed.walk(order))
        for one, two in zip(resident.walk(order), found, strict=True):
            there = np.asarray(one[2].weight) > 0
            np.testing.assert_array_equal(two[2].weight, one[2].weight)
            for name in ("extinction", "sigma", "classes"):
                values = [np.asarray(getattr(b[2], name))[there] for b in (one, two)]
                np.testing.assert_array_equal(*values)
            for first, second in zip(moments(*one[:2]), moments(*two[:2]), strict=True):
                np.testing.assert_allclose(second[there], first[there], rtol=1e-6)


@pytest.mark.parametrize("method", [ADAM, ORIGINAL])
def test_a_streamed_fit_is_the_fit_in_memory(method):
    ends = []
    for stream in (False, True):
        some = settings(method=method, stream=stream)
        stars, seed = (observations(21), observations(9, seed=2)), 1
        if method is ORIGINAL:
            recipe = OriginalRecipe(some, *stars, seed, None)
        else:
            recipe = AdamRecipe(some, *stars, seed, target_for(some, 2, 1, some.dtype), None)
        ends.append(walk("fit", recipe, Fit(recipe.first()), Hooks(lambda _: None, 1, 0, 1e9), 1))
        assert recipe.feed.budget.streamed is stream
    for one, two in zip(*(jax.tree.leaves(end.parameters) for end in ends), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-6, atol=1e-8)
    rows = [np.asarray(end.rows)[:, 3:] for end in ends]
    np.testing.assert_allclose(rows[1], rows[0], rtol=1e-6)


def test_rays_are_made_once_if_there_is_room_for_them_on_disk(tmp_path, monkeypatch, caplog):
    calls = []

    def counted(positions, scheme):
        calls.append(len(positions))
        return ray_blocks(positions, scheme)

    def passes(scratch):
        batches, _ = feed(True, n=35, scratch=scratch).both()
        calls.clear()
        for _ in range(3):
            for rays, batch, _ in batches.walk():
                rays.matrix.source.blocks(int(batch))
        return calls.copy()

    monkeypatch.setattr(feed_module, "ray_blocks", counted)
    scratch = Scratch(tmp_path / "rays", "digest")
    assert passes(scratch) == [7] * 5
    # a fit that goes on finds them, one of other stars does not
    assert passes(scratch) == []
    assert passes(Scratch(tmp_path / "rays", "other")) == [7] * 5
    assert passes(None) == [7] * 15
    monkeypatch.setattr(feed_module, "_DISK_SHARE", 0.0)
    assert passes(Scratch(tmp_path / "rays", "third")) == [7] * 15
    assert "would not fit on the disk" in caplog.text


@pytest.mark.parametrize("stream", [False, True])
def test_rays_of_one_phase_go_before_those_of_the_next_come(stream):
    some = feed(stream)
    moments = eqx.filter_jit(lambda rays, *rest: rays.moments(*rest))
    field = target_for(settings(), 2, 1, settings().dtype).prior.field(
        target_for(settings(), 2, 1, settings().dtype).start(jax.random.key(0))["field"]
    )
    sources = []
    for refinements in (0, 1):
        for batches in some.both(refinements=refinements):
            rays, batch, _ = batches.at(0)
            # a compiled program keeps the matrix, but not its rows
            jax.block_until_ready(moments(rays, field, batch, False))
            sources.append(weakref.ref(rays.matrix.source))
            del rays
    gc.collect()
    assert [source() is not None for source in sources] == [False, False, True, True]


@pytest.mark.parametrize("stream", [False, True])
def test_rays_of_the_first_steps_of_newton_go_before_those_of_the_last_come(stream, tmp_path):
    some = feed(stream, scratch=Scratch(tmp_path / "rays", "digest"))
    made = [*some.both(), some.whole(), some.finest()]
    released = []
    for batches in made:
        try:
            source = batches.at(0)[0].matrix.source
        except RuntimeError:
            released.append(True)
        else:
            released.append(source is None)
    # of Adam, held out, of the first steps, of the last
    assert released == [True, False, True, False]


def test_rays_of_the_last_steps_are_made_once_if_there_is_room_on_disk(tmp_path, monkeypatch):
    calls = []

    def counted(positions, scheme):
        calls.append(len(positions))
        return ray_blocks(positions, scheme)

    monkeypatch.setattr(feed_module, "ray_blocks", counted)
    some = feed(True, n=35, scratch=Scratch(tmp_path / "rays", "digest"))
    some.both()
    batches = some.finest()
    calls.clear()
    for _ in range(3):
        for rays, batch, _ in batches.walk():
            rays.matrix.source.blocks(int(batch))
    assert calls == [7] * 5


def test_values_are_made_once_by_another_thread_and_few_are_kept():
    made = []

    def make(number):
        made.append((number, threading.current_thread() is threading.main_thread()))
        return 10 * number

    values = Prefetched(make, 2)
    values.prefetch(3)
    assert [values.get(n) for n in (3, 3, 4, 3, 5)] == [30, 30, 40, 30, 50]
    assert made == [(3, False), (4, False), (5, False)]
    # 4 was asked for longest ago
    assert values.get(3) == 30
    assert values.get(4) == 40
    assert [n for n, _ in made] == [3, 4, 5, 4]


def test_the_next_batch_is_made_while_the_present_one_is_used():
    begun, go_on = threading.Event(), threading.Event()

    def make(number):
        if number == 1:
            begun.set()
            assert go_on.wait(10)
        return number

    values = Prefetched(make, KEPT)
    assert values.get(0) == 0
    values.prefetch(1)
    assert begun.wait(10)
    go_on.set()
    assert values.get(1) == 1


def test_an_error_of_the_other_thread_is_raised_where_the_value_is_needed():
    def make(number):
        raise OSError("disk")

    values = Prefetched(make, 2)
    values.prefetch(0)
    with pytest.raises(OSError, match="disk"):
        values.get(0)
