"""Signals: obeyed at once, or held back until the work says that it can stop."""

import signal
import threading

import pytest

from dust3d.interrupts import Interrupted, ask, asked, check, held, listening


def term():
    signal.raise_signal(signal.SIGTERM)


def test_a_signal_is_obeyed_at_once():
    with listening(), pytest.raises(Interrupted, match="SIGTERM"):
        term()
        pytest.fail("it went on")


def test_a_signal_is_held_back_until_it_is_asked_for():
    reached = []
    with listening(), pytest.raises(Interrupted, match="SIGTERM"):
        with held(), held():
            assert not asked()
            check()
            term()
            term()
            assert asked()
            reached.append(1)
            check()
            reached.append(2)
    assert reached == [1]


def test_a_signal_is_obeyed_where_the_outermost_block_ends():
    reached = []
    with listening(), pytest.raises(Interrupted):
        with held():
            with held():
                term()
            reached.append(1)
        reached.append(2)
    assert reached == [1]


def test_an_error_goes_before_a_signal():
    with listening(), pytest.raises(ValueError, match="mine"):
        with held():
            term()
            raise ValueError("mine")


def test_a_second_ctrl_c_does_not_wait():
    with listening(), pytest.raises(Interrupted, match="SIGINT"), held():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it went on")


def test_nothing_stays_after_the_block():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted), listening():
        term()
    assert signal.getsignal(signal.SIGTERM) is before
    assert not asked()
    check()


def test_another_process_can_have_been_asked():
    with listening(), pytest.raises(Interrupted, match="SIGTERM"), held():
        ask("SIGTERM")
        assert asked()
        check()


def test_a_thread_that_may_not_listen_does_its_work():
    done = []

    def work():
        with listening():
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]
