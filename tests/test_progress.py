"""Progress: a bar on a terminal, sparse lines in a log; how jobs end."""

import io
import logging
import os
import signal
import sys

import pytest

from dust3d import progress
from dust3d.errors import TableError
from dust3d.progress import Progress, job, logger


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_sparse_lines_with_numbers_and_the_time_left(caplog, clock):
    with caplog.at_level(logging.INFO, "dust3d"):
        shown = Progress("fit", 30)
        for i in range(30):
            clock[0] += 1
            shown.update(loss=1 / (i + 1))
        shown.close()
    lines = caplog.messages
    # the first, then one in each ten seconds and more, then the last
    assert 3 <= len(lines) <= 5
    assert lines[-1] == "fit: 30/30, loss 0.03333, 0 s left"
    assert lines[1].endswith(" s left")
    done, left = int(lines[1].split()[1].split("/")[0]), float(lines[1].split()[-3])
    assert left == 30 - done


def test_a_resumed_fit_counts_on_and_judges_the_time_left_by_its_own_steps(caplog, clock):
    with caplog.at_level(logging.INFO, "dust3d"):
        shown = Progress("fit", 100, done=90)
        clock[0] += 2
        shown.update(loss=1.0)
    assert caplog.messages == ["fit: 91/100, loss 1, 18 s left"]


def test_a_terminal_gets_a_bar_that_is_gone_at_the_end(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    shown = Progress("fit", 4, done=1)
    shown.update(loss=0.5)
    shown._bar.refresh()
    assert "fit" in terminal.getvalue()
    assert "loss=0.5" in terminal.getvalue()
    assert "2/4" in terminal.getvalue()
    shown.close()
    assert terminal.getvalue().rstrip(" ").endswith("\r")


def test_without_a_terminal_there_is_no_bar(monkeypatch):
    quiet = io.StringIO()
    monkeypatch.setattr(sys, "stderr", quiet)
    shown = Progress("fit", 1)
    shown.update(loss=0.5)
    shown.close()
    assert quiet.getvalue() == ""


def test_messages_of_a_job_are_in_its_log(tmp_path):
    log = tmp_path / "logs" / "fit.log"
    with job(log):
        logger.info("hello %d", 3)
    text = log.read_text()
    assert "INFO hello 3" in text
    assert "done in" in text
    logger.info("not any more")
    assert "not any more" not in log.read_text()


def test_a_users_mistake_ends_a_job_with_its_message_alone(tmp_path, capsys):
    log = tmp_path / "fit.log"
    with pytest.raises(SystemExit) as ending, job(log):
        raise TableError("stars.h5: no rows; make it again")
    assert ending.value.code == 1
    assert capsys.readouterr().err == "dust3d: stars.h5: no rows; make it again\n"
    assert "ERROR stars.h5: no rows" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_our_own_mistake_leaves_its_traceback_in_the_log(tmp_path):
    log = tmp_path / "fit.log"
    with pytest.raises(ZeroDivisionError), job(log):
        _ = 1 / 0
    assert "Traceback" in log.read_text()
    assert "ZeroDivisionError" in log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_job_that_is_told_to_end_says_so_and_can_be_run_again(tmp_path, capsys, number):
    log, before = tmp_path / "fit.log", signal.getsignal(number)
    with pytest.raises(SystemExit) as ending, job(log):
        signal.raise_signal(number)
    assert ending.value.code == 75
    said = capsys.readouterr().err
    assert said == f"dust3d: ended by {number.name} after 0 s; run again to go on\n"
    assert f"WARNING ended by {number.name}" in log.read_text()
    assert signal.getsignal(number) is before


def test_a_log_on_a_full_disk_is_one_line_on_the_terminal(tmp_path, capsys):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    log = tmp_path / "fit.log"
    log.symlink_to("/dev/full")
    with pytest.raises(SystemExit), job(log):
        for _ in range(3):
            logger.info("hello")
        raise TableError("no rows")
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"dust3d: {log}: cannot be written (No space left on device)",
        "dust3d: no rows",
    ]
