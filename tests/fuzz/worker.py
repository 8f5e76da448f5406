"""A child process that reads inputs one by one and says what became of each.

Standard input: one JSON object per line, `{"kind", "path", "good"}`. Answer: one line each.
"""

import contextlib
import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path

import numpy as np
from tests.fuzz.readers import READERS, TOLERANCES

from dust3d import runtime
from dust3d.errors import Dust3dError

SPACE_BYTES = 3 << 30
"""Address space beyond what the libraries take."""


def _status(key: str) -> int:
    """A size of this process [kB]."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return 0


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _same(kind: str, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where two arrays of one shape agree."""
    tolerance = TOLERANCES.get(kind)
    if tolerance is not None and one.dtype.kind == "f":
        return np.isclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)
    same = one == other
    if one.dtype.kind == "f" and other.dtype.kind == "f":
        same = same | (np.isnan(one) & np.isnan(other))
    return np.asarray(same)


def _compare(kind: str, found: dict, good: dict) -> dict:
    """`same`; or how many cells differ in how many of the same rows; or that the form differs."""
    if found.keys() != good.keys():
        return {"outcome": "other", "what": f"has {sorted(found)}, not {sorted(good)}"}
    changed = 0
    for name, values in found.items():
        expected = good[name]
        if values.shape[1:] != expected.shape[1:] or values.ndim != expected.ndim:
            return {"outcome": "other", "what": f"{name} has the shape {values.shape}"}
        if values.ndim:
            rows = min(len(values), len(expected))
            values, expected = values[:rows], expected[:rows]
        changed += int((~_same(kind, values, expected)).sum())
    lost = _rows(good) - _rows(found)
    if changed or lost:
        return {"outcome": "changed", "changed": changed, "lost": lost}
    return {"outcome": "same"}


def _rows(arrays: dict) -> int:
    return max((len(values) for values in arrays.values() if values.ndim), default=0)


def _outcome(task: dict, goods: dict) -> dict:
    kind, path = task["kind"], Path(task["path"])
    try:
        found = READERS[kind](path)
    except Dust3dError as error:
        return {"outcome": "refused", "message": str(error), "error": type(error).__name__}
    # whatever else comes out is what the test looks for
    except BaseException:
        return {"outcome": "traceback", "message": traceback.format_exc()}
    if task["good"] is None:
        return {"outcome": "accepted"}
    key = kind, task["good"]
    if key not in goods:
        goods[key] = READERS[kind](Path(task["good"]))
    return _compare(kind, found, goods[key])


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # nothing that a library prints comes between the answers
    os.dup2(2, 1)
    runtime.configure(cache=Path(__file__).resolve().parents[2] / ".jax_cache")
    goods: dict = {}
    limited = False
    for line in sys.stdin:
        task = json.loads(line)
        if not limited:
            limit = (_status("VmSize") << 10) + SPACE_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            limited = True
        before, started = _status("VmRSS"), time.monotonic()
        _forget_peak()
        found = _outcome(task, goods)
        peak = max(0, _status("VmHWM") - before) / 1024
        seconds = time.monotonic() - started
        answers.write(json.dumps(found | {"peak_mb": peak, "seconds": seconds}) + "\n")


if __name__ == "__main__":
    main()
