"""A process of a fit that writes down what it holds, and fails where it is told to."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.inference.slow_to_end import wait_for

from dust3d import interrupts, processes
from dust3d.errors import FitError
from dust3d.inference import feed, loop, streams
from dust3d.stages import fit_process

_counted: dict[str, Any] = {"stars": 0, "entries": 0}
_make_resident, _make_epoch = feed.batches_for, loop._epoch


def _write() -> None:
    path = Path(_counted["folder"]) / f"counted-{processes.index()}.json"
    path.write_text(json.dumps({k: v for k, v in _counted.items() if k != "folder"}))


def _counting(settings, observations, rows, **options):
    made = _make_resident(settings, observations, rows, **options)
    if options.get("number", 0) > 1000 and not _counted["stars"]:
        _counted["stars"] = int((rows >= 0).sum())
        matrix = getattr(made.rays, "matrix", None)
        if matrix is not None:
            source = matrix.source
            blocks = [b for i in range(source.batches) for b in source.blocks(i)]
            _counted["entries"] = sum(b.nnz for b in blocks)
    return made


def _failing(method, running, *rest):
    if os.environ.get("TEST_FAILING_PROCESS") == str(processes.index()) and running.epoch == 2:
        if os.environ.get("TEST_FAILING_HOW") == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if os.environ.get("TEST_FAILING_HOW") == "wait":
            (Path(_counted["folder"]) / "waiting").touch()
            wait_for(interrupts.asked)
            return _make_epoch(method, running, *rest)
        raise FitError(f"planted in process {processes.index()}")
    return _make_epoch(method, running, *rest)


class _Counted(streams.StreamedBatches):
    def __init__(self, stars, lines, dtype):
        super().__init__(stars, lines, dtype)
        if stars.number > 1000:
            own = [stars._places(batch) for batch in range(stars.count)]
            _counted["stars"] = sum(last - first for first, last in own)


def main() -> None:
    """As `fit_process.main`."""
    _counted["folder"] = json.loads(sys.argv[1])["folder"]
    feed.batches_for, loop._epoch = _counting, _failing
    feed.StreamedBatches = _Counted
    fit_process.main()
    _write()


if __name__ == "__main__":
    main()
