"""The loop of a fit, driven by a method made of plain numbers."""

import copy
import logging
import signal

import numpy as np
import pytest

from dust3d import interrupts
from dust3d.errors import FitError
from dust3d.inference.loop import Fit, Hooks, Phase, run_phase, walk


class Walker:
    """Adds up the batches it is given: the order of the batches shows in the result."""

    def __init__(self, epochs=4, batches=3, spoil=None):
        self.epochs, self.batches, self.seen, self.spoil = epochs, batches, [], spoil
        self.prefetched = []

    def start(self, parameters):
        return np.zeros(())

    def prefetch(self, batch):
        self.prefetched.append(batch)

    def step(self, parameters, state, batch, step):
        self.seen.append((step, batch))
        if self.spoil == step:
            return np.full((), np.nan), state, 1.0, 0.0
        loss = np.nan if np.isnan(parameters) else 1.0 / (1 + step)
        return 0.9 * parameters + batch, state + 1, loss, -loss


class TwoPhases:
    def __init__(self, **options):
        self.methods = [Walker(**options), Walker(epochs=2)]

    def first(self):
        return np.zeros(())

    def enter(self, number, parameters):
        return parameters + 100 * number

    def phase(self, number):
        return Phase(self.methods[number], lambda p: float(p), lambda p: np.full((2, 2), p))

    def finished(self, number, parameters):
        return number == 1


def hooks(save=lambda fit: None, every=2, snapshots=3, seconds=1e9):
    return Hooks(save, every, snapshots, seconds)


def walked(recipe, **options):
    return walk("fit", recipe, Fit(recipe.first()), hooks(**options), seed=1)


def test_every_epoch_visits_every_batch_once_in_an_order_of_its_own():
    recipe = TwoPhases()
    walked(recipe)
    seen = recipe.methods[0].seen
    assert [step for step, _ in seen] == list(range(12))
    epochs = [tuple(b for _, b in seen[i : i + 3]) for i in range(0, 12, 3)]
    assert all(sorted(epoch) == [0, 1, 2] for epoch in epochs)
    assert len(set(epochs)) > 1
    # each batch but the first of an epoch is asked for before its step
    following = [batch for epoch in epochs for batch in epoch[1:]]
    assert recipe.methods[0].prefetched == following
    again = TwoPhases()
    walked(again)
    assert again.methods[0].seen == seen
    assert again.methods[1].seen == recipe.methods[1].seen


def test_rows_count_on_through_the_phases_and_scores_come_at_their_epochs():
    fit = walked(TwoPhases(), every=3)
    table = np.asarray(fit.rows)
    np.testing.assert_array_equal(table[:, 0], np.arange(1, 7))
    np.testing.assert_array_equal(table[:, 1], 3 * np.arange(1, 7))
    assert np.all(np.diff(table[:, 2]) >= 0)
    # every third epoch, and the last of each phase
    np.testing.assert_array_equal(np.isfinite(table[:, 5]), [0, 0, 1, 1, 0, 1])
    losses = [np.mean(1 / (1 + i + np.arange(3))) for i in (0, 3, 6, 9)]
    np.testing.assert_allclose(table[:4, 3], losses)
    np.testing.assert_allclose(table[:, 4], -table[:, 3])


def test_snapshots_are_spread_over_the_epochs_from_the_first_guess_on():
    fit = walked(TwoPhases(), snapshots=3)
    assert [epoch for epoch, _ in fit.snapshots] == [0, 2, 4, 5, 6]
    assert np.all(fit.snapshots[0][1] == 0)
    assert walked(TwoPhases(), snapshots=0).snapshots == []


@pytest.mark.parametrize("stop", range(26))
def test_a_walk_that_goes_on_from_any_checkpoint_ends_at_the_same_place(stop):
    saved = []
    whole = walked(TwoPhases(), save=lambda fit: saved.append(copy.deepcopy(fit)), seconds=-1.0)
    # one checkpoint after each of 18 steps, of six epochs, and of two phases
    assert len(saved) == 26
    fit = walk("fit", TwoPhases(), saved[stop], hooks(), seed=1)
    assert fit.parameters == whole.parameters
    columns = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(
        np.asarray(fit.rows)[:, columns], np.asarray(whole.rows)[:, columns]
    )
    assert [e for e, _ in fit.snapshots] == [e for e, _ in whole.snapshots]
    assert fit.seconds >= saved[stop].seconds


def test_checkpoints_come_after_the_stated_seconds_and_at_the_end_of_phases():
    saved = []
    walked(TwoPhases(), save=lambda fit: saved.append((fit.phase, fit.epoch)), seconds=1e9)
    assert saved == [(0, 4), (1, 2)]


# step 5 is the last of its epoch: the loss was computed before the step spoilt the parameters
@pytest.mark.parametrize("spoil", [3, 5])
def test_a_loss_that_is_not_finite_stops_the_fit_before_it_is_saved(spoil):
    recipe, saved = TwoPhases(spoil=spoil), []
    with pytest.raises(FitError, match=r"epoch 2 of phase 1.*learning_rate"):
        walked(recipe, save=lambda fit: saved.append(copy.deepcopy(fit)), seconds=-1.0)
    # after each step, and after the first epoch
    steps = [3 * fit.epoch + len(fit.done) for fit in saved]
    assert steps == [1, 2, 3, *range(3, spoil + 1)]
    assert all(np.isfinite(fit.parameters) for fit in saved)


def test_a_phase_tells_how_far_it_is(caplog):
    recipe = TwoPhases()
    with caplog.at_level(logging.INFO, "dust3d"):
        run_phase("title", recipe.phase(0), Fit(np.zeros(()), np.zeros(())), hooks(), seed=1)
    assert "title: 4/4" in caplog.text
    assert "held-out" in caplog.text


def test_a_walk_that_is_asked_to_end_saves_after_its_step_and_goes_on_from_there():
    whole = walked(TwoPhases())
    recipe, saved = TwoPhases(), []
    step = recipe.methods[0].step

    def signalled(*arguments):
        if arguments[-1] == 4:
            signal.raise_signal(signal.SIGTERM)
        return step(*arguments)

    recipe.methods[0].step = signalled
    with interrupts.listening(), pytest.raises(interrupts.Interrupted, match="SIGTERM"):
        walked(recipe, save=lambda fit: saved.append(copy.deepcopy(fit)))
    assert [(fit.epoch, len(fit.done)) for fit in saved] == [(1, 2)]
    fit = walk("fit", TwoPhases(), saved[0], hooks(), seed=1)
    assert fit.parameters == whole.parameters
    assert fit.rows[1][3:] == pytest.approx(whole.rows[1][3:], rel=0, abs=0, nan_ok=True)
