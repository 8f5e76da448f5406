"""A fit that is told to end, or killed, goes on and ends as if nothing had been."""

import signal
import time

import numpy as np
import pytest
from tests.faults.child import DEADLINE_S
from tests.stages.test_fit import NAMES, numbers, summary

CHECKPOINTS = {"checkpoint.h5", "checkpoint.previous.h5"}
# of 9 steps of Adam in 3 epochs; the whole fit takes steps by both kinds of rays
ENDINGS = [
    pytest.param("term", "adam", 5),
    pytest.param("kill", "adam", 5),
    pytest.param("term", "newton", 2),
    pytest.param("kill", "newton", 2, marks=pytest.mark.slow),
    pytest.param("term", "newton", -1, marks=pytest.mark.slow),
    pytest.param("kill", "newton", -1),
]


def newton_steps(folder):
    return summary(folder)["newton"]


def names(folder):
    return {path.name for path in folder.iterdir()}


def wait_until(there, process):
    end = time.monotonic() + DEADLINE_S
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def call(whole, place, count):
    """The count of a call, from 1; a negative one counts from the last Newton step."""
    taken = sum(step["length"] > 0 for step in newton_steps(whole))
    return place, count if count > 0 else taken + 1 + count


def assert_same(folder, whole):
    """The same numbers to the bit, the same account of them, and no other file."""
    assert names(folder) == set(NAMES)
    found, expected = numbers(folder), numbers(whole)
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert newton_steps(folder) == newton_steps(whole)
    one, two = summary(folder), summary(whole)
    for key in ("gradients", "products"):
        assert one["cost"][key] == two["cost"][key]
    for key in ("log_posterior", "converged", "likelihood", "rays", "mean"):
        assert one[key] == two[key]


def test_the_whole_fit_takes_all_the_ways(whole):
    steps = newton_steps(whole)
    # two stages of Newton steps, each with an entry that only says what was left to gain
    assert [step["length"] for step in steps].count(0) == 2
    assert steps[-1]["length"] == 0
    assert summary(whole)["converged"]
    history = numbers(whole)
    rows = 3 + sum(step["length"] > 0 for step in steps)
    np.testing.assert_array_equal(history["epoch"], np.arange(1, rows + 1))
    np.testing.assert_array_equal(history["step"][:3], [3, 6, 9])
    assert summary(whole)["cost"]["gradients"] == 3 + len(steps)
    # a row of a Newton step says what it led to, as the next step's entry does
    after = [-step["log_posterior"] / 200 for step in steps[1:]]
    moved = [i for i, step in enumerate(steps) if step["length"] > 0]
    np.testing.assert_allclose(history["loss"][3:], [after[i] for i in moved], rtol=1e-6)


@pytest.mark.parametrize(("deed", "place", "count"), ENDINGS)
def test_a_fit_that_is_ended_goes_on_to_the_same_numbers(
    deed, place, count, begin, whole, tmp_path
):
    place, count = call(whole, place, count)
    child = begin(tmp_path, place, count, deed)
    code, errors = child.ended()
    if deed == "term":
        assert code == 75
        assert errors.startswith("dust3d: ended by SIGTERM after ")
        assert errors.count("\n") == 1
        assert "run again to go on" in child.logged()
        assert "Traceback" not in child.logged()
        assert names(tmp_path) == CHECKPOINTS
    else:
        assert code == -signal.SIGKILL
        assert names(tmp_path) > CHECKPOINTS
    again = begin(tmp_path)
    assert again.ended() == (0, "")
    # the step in which SIGTERM came is the last one that was saved
    done = count if deed == "term" else count - 1
    if place == "adam":
        where = f"at epoch {done // 3}, step {done % 3} of phase 1"
    else:
        where = "after Newton step "
    assert f"resumed {where}" in again.logged()
    assert_same(tmp_path, whole)


@pytest.mark.parametrize(
    "sent", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_from_outside_ends_a_fit_after_its_step(sent, begin, whole, tmp_path):
    child = begin(tmp_path, "adam", 4, "wait")
    wait_until(child.ready.exists, child.process)
    child.process.send_signal(sent)
    code, errors = child.ended()
    assert code == 75
    assert f"ended by {sent.name}" in errors
    again = begin(tmp_path)
    assert again.ended() == (0, "")
    assert "resumed at epoch 1, step 1 of phase 1" in again.logged()
    assert_same(tmp_path, whole)


def test_a_signal_before_the_first_step_is_obeyed_at_once(begin, tmp_path):
    code, errors = begin(tmp_path, "setup", 1, "term").ended()
    assert code == 75
    assert "ended by SIGTERM" in errors
    assert names(tmp_path) == set()


# `os.replace` is called twice for a checkpoint
@pytest.mark.parametrize(
    "place",
    [
        ("rename", 10),
        pytest.param(("rename", 11), marks=pytest.mark.slow),
        pytest.param(("flush", 5), marks=pytest.mark.slow),
    ],
)
def test_a_fit_killed_while_it_saves_leaves_a_whole_checkpoint(place, begin, whole, tmp_path):
    child = begin(tmp_path, *place, "kill")
    assert child.ended()[0] == -signal.SIGKILL
    assert any(".part" in name for name in names(tmp_path))
    again = begin(tmp_path)
    assert again.ended() == (0, "")
    assert "resumed" in again.logged()
    assert_same(tmp_path, whole)


@pytest.mark.parametrize("place", ["complete", pytest.param("field", marks=pytest.mark.slow)])
def test_a_fit_killed_among_its_products_only_writes_them_again(place, begin, whole, tmp_path):
    assert begin(tmp_path, place, 1, "kill").ended()[0] == -signal.SIGKILL
    again = begin(tmp_path, "newton", 1, "kill")
    assert again.ended() == (0, "")
    assert f"resumed after Newton step {len(newton_steps(whole))}" in again.logged()
    assert_same(tmp_path, whole)


def test_two_processes_in_one_folder_do_no_harm(begin, whole, tmp_path):
    both = [begin(tmp_path), begin(tmp_path)]
    assert [child.ended() for child in both] == [(0, ""), (0, "")]
    assert names(tmp_path) == set(NAMES)
    for name, values in numbers(whole).items():
        np.testing.assert_array_equal(numbers(tmp_path)[name], values, err_msg=name)
