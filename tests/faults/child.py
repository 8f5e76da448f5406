"""A fit in a process of its own, which comes to harm at a stated place.

`python -m tests.faults.child ARGUMENTS.json` runs `dust3d.stages.fit.run` as a job of the
workflow does. Its key `harm` says what happens where: `[place, count, deed]`. Places are called
again and again; at the given call the deed is done, before the call.
"""

import errno
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from dust3d.progress import job

DEADLINE_S = 120


def wait_for_signal(arguments):
    """Say that the place is reached, and wait for a signal from outside."""
    from dust3d import interrupts

    Path(arguments["ready"]).touch()
    end = time.monotonic() + DEADLINE_S
    while not interrupts.asked():
        if time.monotonic() > end:
            raise TimeoutError("no signal came")
        time.sleep(0.01)


def full_disk(arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


def fill_disk(arguments):
    """Leave no room beside the products."""
    with open(Path(arguments["filler"]), "wb", buffering=0) as file:
        with suppress(OSError):
            while True:
                file.write(bytes(4096))


DEEDS = {
    "term": lambda _: os.kill(os.getpid(), signal.SIGTERM),
    "interrupt": lambda _: os.kill(os.getpid(), signal.SIGINT),
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "wait": wait_for_signal,
    "full": full_disk,
    "fill": fill_disk,
}


class Apart:
    """A module in the eyes of one other module: what is changed here, nobody else sees."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        return getattr(self._module, name)


def places():
    """Names of places, with the modules and functions that are called there."""
    from dust3d import files
    from dust3d.inference import adam, feed, newton
    from dust3d.io import fields, history
    from dust3d.stages import fit_products

    files.os = Apart(os)
    return {
        "setup": (feed.Feed, "both"),
        "adam": (adam.Adam, "step"),
        "newton": (newton, "_climb"),
        # a checkpoint is whole, and not yet in its place
        "flush": (files, "_flush"),
        "rename": (files.os, "replace"),
        # both inside an open file
        "history": (history, "write_attrs"),
        "field": (fields, "_write"),
        "complete": (fit_products, "save"),
    }


def plant(place, count, deed, arguments):
    """Do the deed before the given call, counted from 1."""
    owner, name = places()[place]
    whole, calls = getattr(owner, name), []

    def harmed(*some, **named):
        calls.append(place)
        if len(calls) == count:
            DEEDS[deed](arguments)
        return whole(*some, **named)

    setattr(owner, name, harmed)


def main():
    arguments = json.loads(Path(sys.argv[1]).read_text())
    with job(arguments["log"]):
        from dust3d.stages import fit

        if arguments["harm"]:
            plant(*arguments["harm"], arguments)
        fit.run(**arguments["fit"])


if __name__ == "__main__":
    main()
