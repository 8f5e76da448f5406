"""Starting several processes for one job, on this machine or as a step of Slurm, and ending it.

What they log comes back here, and so does the error that ends them.
"""

import json
import logging
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from dust3d.errors import FitError
from dust3d.interrupts import EXIT_CODE, Interrupted, held
from dust3d.processes import COORDINATOR, INDEX, NUMBER
from dust3d.progress import logger

ERROR_MARK = "dust3d: "
"""What a line on the terminal begins with that says, alone, why a process ends."""

_LEVELS = ("INFO", "WARNING", "ERROR")
_LAST_LINES = 5


def launch(
    module: str,
    arguments: dict[str, Any],
    *,
    tasks: int,
    launcher: str | None = None,
    cpus: int | None = None,
) -> None:
    """Run `python -m MODULE ARGUMENTS` in several processes, and wait for their common end.

    Parameters
    ----------
    module
        Takes JSON as its only argument, and ends as `dust3d.stages.fit_process` does.
    arguments
        That JSON.
    tasks
        How many processes.
    launcher
        `srun`, with options of its own; none: they start on this machine.
    cpus
        CPUs of each, that `srun` asks for; none: as many as it likes.

    Raises
    ------
    FitError
        With what the first that failed said.
    Interrupted
        If this process or they were asked to end; after their own end, which only a second SIGINT
        does not wait for.
    """
    command = [sys.executable, "-m", module, json.dumps(arguments, default=str)]
    reader, writer = os.pipe()
    if launcher:
        options = [f"--ntasks={tasks}", "--kill-on-bad-exit=1", "--overlap"]
        options += [f"--cpus-per-task={cpus}"] if cpus else []
        command = [*shlex.split(launcher), *options, *command]
        started = [subprocess.Popen(command, stdout=writer, stderr=writer)]
    else:
        started = _started_here(command, tasks, writer)
    os.close(writer)
    said = list[str]()
    try:
        try:
            said += _relayed(reader)
        except Interrupted:
            # schedulers repeat SIGTERM, which must not cost the processes their checkpoint
            with held():
                for process in started:
                    process.send_signal(signal.SIGTERM)
                said += _relayed(reader)
                for process in started:
                    process.wait()
            raise
        codes = [process.wait() for process in started]
    except BaseException:
        for process in started:
            with suppress(OSError):
                process.kill()
            process.wait()
        raise
    finally:
        os.close(reader)
    _judge(codes, said)


def _started_here(command: list[str], tasks: int, output: int) -> list[subprocess.Popen[bytes]]:
    """The processes, on this machine, writing to one pipe."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    common = os.environ | {NUMBER: str(tasks), COORDINATOR: address}
    return [
        subprocess.Popen(command, env=common | {INDEX: str(i)}, stdout=output, stderr=output)
        for i in range(tasks)
    ]


def _relayed(reader: int) -> Iterator[str]:
    """Log what processes write until all have ended; their other lines."""
    with os.fdopen(os.dup(reader), errors="replace") as lines:
        for line in lines:
            level, _, text = line.rstrip("\n").partition(" ")
            if level in _LEVELS:
                logger.log(getattr(logging, level), "%s", text)
            elif line.strip():
                yield line.rstrip("\n")


def _judge(codes: list[int], said: list[str]) -> None:
    """Raise what the processes ended with, if it was no success."""
    if not any(codes):
        return
    if EXIT_CODE in codes:
        raise Interrupted("SIGTERM")
    errors = [line.removeprefix(ERROR_MARK) for line in said if line.startswith(ERROR_MARK)]
    if errors:
        raise FitError(errors[0])
    listing = "\n  ".join(said[-_LAST_LINES:])
    raise FitError(
        f"the processes of a fit ended with exit codes {codes}; run again: it goes on from its "
        f"checkpoint. Their last words:\n  {listing}"
    )
