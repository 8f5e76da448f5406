"""One of several processes of a fit: `python -m dust3d.stages.fit_process ARGUMENTS`.

`ARGUMENTS` are those of `dust3d.stages.fit.run` as JSON. Slurm's variables, or `DUST3D_PROCESSES`,
`DUST3D_PROCESS` and `DUST3D_COORDINATOR`, say which of how many this is.
"""

import json
import logging
import os
import sys
import traceback
from typing import NoReturn

from dust3d.errors import Dust3dError
from dust3d.interrupts import EXIT_CODE, Interrupted, listening
from dust3d.launch import ERROR_MARK
from dust3d.processes import described
from dust3d.progress import logger
from dust3d.stages import fit


def _log_to_terminal() -> None:
    """All that the first process has to say, and errors of the others."""
    group = described(os.environ)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if group is None or group.index == 0 else logging.ERROR)


def _end(code: int, message: str) -> NoReturn:
    """At once: JAX would wait for processes that may be gone."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Run this process's part; its exit code is 0, 1, or `interrupts.EXIT_CODE`."""
    arguments = json.loads(sys.argv[1])
    try:
        _log_to_terminal()
        with listening():
            fit.run(**arguments)
    except Dust3dError as error:
        _end(1, f"{ERROR_MARK}{error}")
    except Interrupted as asked:
        _end(EXIT_CODE, f"ended by {asked}")
    except Exception:
        _end(1, traceback.format_exc())


if __name__ == "__main__":
    main()
