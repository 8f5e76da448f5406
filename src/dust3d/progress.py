"""Telling the user how far long work is: a bar on a terminal, sparse lines in a log."""

import logging
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tqdm import tqdm

from dust3d.errors import Dust3dError
from dust3d.interrupts import EXIT_CODE, Interrupted, listening

logger = logging.getLogger("dust3d")

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Progress through a known number of steps.

    Parameters
    ----------
    title
        What is going on.
    total
        Number of steps.
    done
        Steps already done, of a resumed fit.
    """

    def __init__(self, title: str, total: int, done: int = 0):
        self._title, self._total, self._done = title, total, done
        self._started, self._last_line, self._first = time.monotonic(), 0.0, done
        self._bar = (
            tqdm(total=total, initial=done, desc=title, unit="epoch", leave=False)
            if sys.stderr.isatty()
            else None
        )

    def update(self, **values: float) -> None:
        """Count one step and show named numbers."""
        self._done += 1
        shown = {name: f"{value:.4g}" for name, value in values.items()}
        if self._bar is not None:
            self._bar.update()
            self._bar.set_postfix(shown)
        now = time.monotonic()
        if now - self._last_line > _SECONDS_BETWEEN_LINES or self._done == self._total:
            self._last_line = now
            rate = (now - self._started) / max(1, self._done - self._first)
            left = rate * (self._total - self._done)
            numbers = ", ".join(f"{name} {value}" for name, value in shown.items())
            logger.info(
                "%s: %d/%d, %s, %.0f s left", self._title, self._done, self._total, numbers, left
            )

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


class _LogFile(logging.FileHandler):
    """A log that, if it can no longer be written, says so once and in one line."""

    _failed = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Tell the terminal that the log is incomplete."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._failed:
            self._failed = True
            sys.stderr.write(f"dust3d: {self.baseFilename}: cannot be written ({error.strerror})\n")

    def close(self) -> None:
        """Close the file; what did not fit is lost."""
        with suppress(OSError):
            super().close()


@contextmanager
def job(log: str | Path) -> Iterator[None]:
    """Run a job of the workflow with its messages in a log file.

    A `Dust3dError` ends the process with its message alone, on the terminal and in
    the log; any other exception leaves its traceback in the log and goes on. SIGTERM
    or SIGINT end the process with `interrupts.EXIT_CODE` and nothing half-written.
    """
    log = Path(log)
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = _LogFile(log, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    started = time.monotonic()
    try:
        with listening():
            yield
        logger.info("done in %.1f s", time.monotonic() - started)
    except Dust3dError as error:
        logger.error("%s", error)
        sys.stderr.write(f"dust3d: {error}\n")
        raise SystemExit(1) from None
    except Interrupted as signal:
        message = f"ended by {signal} after {time.monotonic() - started:.0f} s; run again to go on"
        logger.warning("%s", message)
        sys.stderr.write(f"dust3d: {message}\n")
        raise SystemExit(EXIT_CODE) from None
    except Exception:
        logger.error("%s", traceback.format_exc())
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()
