"""Hundreds of damaged inputs: each is refused in words of ours, or read rightly.

Never a library's traceback, a hang, gigabytes, a wrong map, or anything executed.
"""

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.fuzz.bombs import FLAG
from tests.fuzz.corpus import Case, corpus
from tests.fuzz.products import make

WORKERS = 2
LIMIT_S = 60
FIRST_LIMIT_S = 240
"""The first answer of a process waits for its imports."""
MOST_MB = 600
MOST_CELLS = 80
"""Cells that a stretch of 256 bytes can change in a table of 40 rows."""
REMEDY = re.compile(
    r"\b(again|set|check|remove|delete|correct|give|quote|fetch|repair|export|rename|make|map|use|"
    r"say|write|unpack|end|select|name|mend|lower|raise|add|leave|move|put|known here|did you|must|"
    r"cannot be|should|README)\b",
    re.IGNORECASE,
)


class Worker:
    """A child process that reads inputs until one kills it."""

    def __init__(self, root: Path):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker"],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        self._answers: queue.Queue[str] = queue.Queue()
        self._limit_s = FIRST_LIMIT_S
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def ask(self, case: Case) -> dict:
        """What became of a case; of a hang or a crash that it was one."""
        good = str(case.good) if case.good is not None else None
        task = {"kind": case.kind, "path": str(case.path), "good": good}
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        try:
            answer = self._answers.get(timeout=self._limit_s)
            self._limit_s = LIMIT_S
        except queue.Empty:
            return {"outcome": "hang"}
        return json.loads(answer) if answer else {"outcome": "crash"}

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()


def judge(case: Case, found: dict) -> str | None:
    """What is wrong with an outcome; none if nothing is."""
    outcome = found["outcome"]
    if outcome in ("hang", "crash", "traceback"):
        return f"{outcome}: {found.get('message', '')}"
    if found["peak_mb"] > MOST_MB:
        return f"took {found['peak_mb']:.0f} MB"
    if (case.path.parent / FLAG).exists() or (case.path / FLAG).exists():
        return "something in it was executed"
    if outcome == "refused":
        about = case.about or case.path.name
        if about not in found["message"]:
            return f"its message does not name {about}: {found['message']}"
        if not REMEDY.search(found["message"].partition(about)[2]):
            return f"its message does not say what to do: {found['message']}"
        return None
    if case.expected == "refused":
        return f"was not refused but {found}"
    right = {
        "sound": outcome == "same",
        "unsealed": outcome == "same" or (outcome == "changed" and found["changed"] <= MOST_CELLS),
        "any": outcome == "accepted" or case.good is not None,
    }
    return None if right[case.expected] else f"was read wrongly: {found}"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, repository):
    """Every case with what became of it."""
    folder = tmp_path_factory.mktemp("fuzz")
    make(folder / "made", repository)
    cases: queue.Queue[Case] = queue.Queue()
    for case in corpus(folder / "made", folder / "cases"):
        cases.put(case)
    found: list[tuple[Case, dict]] = []

    def work(_: int) -> None:
        worker = Worker(repository)
        try:
            while True:
                case = cases.get_nowait()
                answer = worker.ask(case)
                found.append((case, answer))
                if answer["outcome"] in ("hang", "crash"):
                    worker.end()
                    worker = Worker(repository)
        except queue.Empty:
            pass
        finally:
            worker.end()

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, range(WORKERS)))
    return found


def test_every_damaged_input_is_refused_in_words_or_read_rightly(outcomes):
    wrong = [f"{case.name}: {what}" for case, f in outcomes if (what := judge(case, f))]
    assert not wrong, f"{len(wrong)} of {len(outcomes)}:\n" + "\n".join(wrong)


def test_the_corpus_is_large_and_mostly_refused(outcomes):
    assert len(outcomes) >= 200
    names = [case.name for case, _ in outcomes]
    assert len(set(names)) == len(names)
    refused = sum(found["outcome"] == "refused" for _, found in outcomes)
    assert refused > 0.7 * len(outcomes)


CASE = Case("planted", "opened", Path("map.zarr"), "sound", Path("good"))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"outcome": "traceback", "message": "KeyError: 'a'"}, "KeyError"),
        ({"outcome": "hang"}, "hang"),
        ({"outcome": "crash"}, "crash"),
        ({"outcome": "refused", "message": "cannot be read; make it again"}, "does not name"),
        ({"outcome": "refused", "message": "map.zarr: bad"}, "what to do"),
        ({"outcome": "changed", "changed": 1, "lost": 0}, "read wrongly"),
        ({"outcome": "same", "peak_mb": 5000.0}, "5000 MB"),
    ],
)
def test_planted_outcomes_are_found(found, words):
    assert words in judge(CASE, {"peak_mb": 1.0} | found)


def test_right_outcomes_pass():
    refused = {"outcome": "refused", "message": "map.zarr: damaged; make it again", "peak_mb": 1.0}
    assert judge(CASE, refused) is None
    assert judge(CASE, {"outcome": "same", "peak_mb": 1.0}) is None
