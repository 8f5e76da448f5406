"""Ending processes that were started for one job."""

import os
import signal
import threading

import pytest
from tests.inference.slow_to_end import wait_for

from dust3d import interrupts
from dust3d.interrupts import Interrupted, listening
from dust3d.launch import launch


@pytest.fixture
def environment(repository, monkeypatch):
    """Of processes that find the tests."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(repository), str(repository / "src")]))


@pytest.fixture
def obeyed(monkeypatch):
    """The signals that this process has taken note of."""
    found, obey = [], interrupts._obey

    def noting(number, frame):
        found.append(number)
        obey(number, frame)

    monkeypatch.setattr(interrupts, "_obey", noting)
    return found


def sending(folder, obeyed, number):
    """Send SIGTERM and a second signal when the processes have heard of the first."""

    def both(word):
        return lambda: all((folder / f"{word}-{i}").exists() for i in range(2))

    def send():
        main = threading.main_thread().ident or 0
        wait_for(both("ready"))
        signal.pthread_kill(main, signal.SIGTERM)
        wait_for(both("asked"))
        signal.pthread_kill(main, number)
        wait_for(lambda: len(obeyed) == 2)
        if number == signal.SIGTERM:
            (folder / "go").touch()

    return threading.Thread(target=send)


@pytest.mark.parametrize(("second", "saved"), [(signal.SIGTERM, 2), (signal.SIGINT, 0)])
def test_a_second_sigterm_leaves_them_their_time(second, saved, tmp_path, environment, obeyed):
    """A second Ctrl-C does not."""
    thread = sending(tmp_path, obeyed, second)
    with listening(), pytest.raises(Interrupted, match=second.name):
        thread.start()
        try:
            launch("tests.inference.slow_to_end", {"folder": str(tmp_path)}, tasks=2)
        finally:
            thread.join()
    assert len(list(tmp_path.glob("saved-*"))) == saved
