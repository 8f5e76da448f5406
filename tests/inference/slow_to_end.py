"""A process that, asked to end, takes its time to save something: `-m ... {"folder": FOLDER}`."""

import json
import os
import sys
import time
from pathlib import Path

from dust3d import interrupts
from dust3d.processes import INDEX

DEADLINE_S = 120


def wait_for(there):
    """Poll until it is there."""
    end = time.monotonic() + DEADLINE_S
    while not there():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


def main():
    """Say `ready`, then `asked`; having been allowed to `go`, `saved`."""
    folder, own = Path(json.loads(sys.argv[1])["folder"]), os.environ[INDEX]
    try:
        with interrupts.listening(), interrupts.held():
            (folder / f"ready-{own}").touch()
            wait_for(interrupts.asked)
            (folder / f"asked-{own}").touch()
            wait_for((folder / "go").exists)
            (folder / f"saved-{own}").touch()
    except interrupts.Interrupted:
        sys.exit(interrupts.EXIT_CODE)


if __name__ == "__main__":
    main()
