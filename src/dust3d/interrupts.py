"""Signals that ask a process to end: obeyed at once, or where the work says that it can stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_CODE = 75
"""EX_TEMPFAIL of sysexits.h: not done, but running again will go on."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(BaseException):
    """The process was asked to end. Its text is the signal's name.

    No `Exception`, as `KeyboardInterrupt` is none: nothing takes it for a failure to mend.
    """


class _State:
    """Which signal came, and how many blocks hold it back."""

    def __init__(self):
        self.asked: str | None = None
        self.held = 0


_state = _State()


def _obey(number: int, _frame: object) -> None:
    name, again = signal.Signals(number).name, _state.asked is not None
    _state.asked = name
    # who types Ctrl-C twice does not want to wait; schedulers repeat SIGTERM without meaning more
    if not _state.held or (again and number == signal.SIGINT):
        raise Interrupted(name)


@contextmanager
def listening() -> Iterator[None]:
    """Turn SIGTERM and SIGINT into `Interrupted` inside this block.

    In threads other than the main one, where no handler can be set, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.asked = None
    before = {number: signal.signal(number, _obey) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _state.asked = None


@contextmanager
def held() -> Iterator[None]:
    """Hold `Interrupted` back until `check`, or until the block ends without an error."""
    _state.held += 1
    try:
        yield
    finally:
        _state.held -= 1
    if not _state.held:
        check()


def asked() -> bool:
    """Whether a signal has come."""
    return _state.asked is not None


def ask(name: str) -> None:
    """Take it that a signal has come, as it did to a process that works with this one."""
    _state.asked = _state.asked or name


def check() -> None:
    """Obey a signal that has come.

    Raises
    ------
    Interrupted
        If one has.
    """
    if _state.asked is not None:
        raise Interrupted(_state.asked)
