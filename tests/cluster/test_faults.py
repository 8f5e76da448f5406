"""What clusters do to jobs: after each, the numbers of an undisturbed run, and no stray files.

A fit is caught in the middle by its checkpoint: it has far more to do than it takes to see it.
"""

import copy
import os
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
from tests.cluster.conftest import COMMAND
from tests.cluster.slurm import GPU_NODES, alive, wait_for

pytestmark = pytest.mark.slurm

FIT = "fourier-2x2x1"


@pytest.fixture(scope="module")
def undisturbed(checkout, small):
    """One long fit, made on this machine without Slurm."""
    config = copy.deepcopy(small)
    config["fits"] = {"fourier": {"orders": [[2, 2, 1]]}}
    config["optimiser"]["method"]["epochs"] = 1500
    config["optimiser"]["checkpoint_every_s"] = 0.5
    made = checkout(config)
    made.finish(made.start("--cores", "2", target(made)))
    return made


def target(made):
    """The fit's field, as Snakemake knows it."""
    return str((made.results / "fits" / FIT / "field.h5").relative_to(made.folder))


def numbers(made):
    """Every array of a fit's field."""
    found = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(made.results / "fits" / FIT / "field.h5") as file:
        file.visititems(note)
    return found


@pytest.fixture
def disturbed(undisturbed, tmp_path):
    """The same project before its fit, and its user's run on the cluster; what ended is checked."""
    made = undisturbed.copy(tmp_path / "project")
    folder = made.results / "fits" / FIT
    kept = sorted(path.name for path in folder.iterdir())
    for path in folder.iterdir():
        path.unlink()
    yield made
    assert sorted(path.name for path in folder.iterdir()) == kept
    strays = [p for p in made.results.rglob("*") if ".part" in p.name or "scratch" in p.name]
    assert strays == []
    expected, found = numbers(undisturbed), numbers(made)
    assert set(found) == set(expected)
    for name, values in expected.items():
        if np.issubdtype(np.asarray(values).dtype, np.floating):
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6, err_msg=name)


def fits_of(made):
    """The run's own fits, as Slurm's records show them."""
    return [j for j in made.cluster.jobs_of("fit_wild") if j["WorkDir"] == str(made.folder)]


def caught(made):
    """A run whose fit is in the middle, and the fit's job."""
    run = made.start(*COMMAND, target(made))
    made.wait_for_file(made.results / "fits" / FIT / "checkpoint.h5")
    (job,) = fits_of(made)
    assert job["JobState"] == "RUNNING"
    return run, job


def log_of(made):
    return (made.results / "logs" / f"fit-{FIT}.log").read_text()


def process_of(made, job):
    """The process that fits: the innermost one of a job."""
    for pid in made.cluster.processes(job["JobId"]):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"python" in words[0] and any(word.endswith(b".fit.py") for word in words):
            return pid
    raise AssertionError("no process fits")


def test_a_time_limit(disturbed):
    """The fit is told, writes a checkpoint, and goes on from there with more time."""
    run, job = caught(disturbed)
    pid = process_of(disturbed, job)
    # held, so that the limit (a minute at least) meets it in the middle; Slurm lets it go to end it
    os.kill(pid, signal.SIGSTOP)
    disturbed.cluster.command("scontrol", "update", f"JobId={job['JobId']}", "TimeLimit=1")
    disturbed.finish(run)
    first, second = fits_of(disturbed)
    assert first["JobState"] == "TIMEOUT"
    assert second["JobState"] == "COMPLETED"
    assert second["TimeLimit"] == "08:00:00"
    # the second attempt began the log anew; the run has shown that of the first
    assert "WARNING ended by SIGTERM after" in disturbed.output
    assert "resumed at epoch" in log_of(disturbed)


def test_a_job_is_cancelled(disturbed):
    run, job = caught(disturbed)
    disturbed.cluster.command("scancel", job["JobId"])
    disturbed.finish(run)
    first, second = fits_of(disturbed)
    assert (first["JobState"], second["JobState"]) == ("CANCELLED", "COMPLETED")
    assert "resumed at epoch" in log_of(disturbed)


def test_a_node_is_lost(disturbed):
    run, job = caught(disturbed)
    node = job["NodeList"]
    assert node in GPU_NODES
    pid = process_of(disturbed, job)
    disturbed.cluster.lose_node(node)
    try:
        wait_for("the fit is gone with its node", lambda: not alive(pid))
        disturbed.finish(run)
    finally:
        disturbed.cluster.start_node(node)
        wait_for("the node is back", lambda: disturbed.cluster.states()[node] == "idle")
    first, second = fits_of(disturbed)
    assert first["JobState"] == "NODE_FAIL"
    assert second["JobState"] == "COMPLETED"
    assert second["NodeList"] != node
    assert "resumed at epoch" in log_of(disturbed)


def test_out_of_memory(disturbed):
    """The kernel ends the first attempt, so to say; the second has twice the memory."""
    script = disturbed.folder / "workflow" / "scripts" / "fit.py"
    script.write_text(
        "import os, signal\n"
        "from pathlib import Path\n"
        "if not Path('ended').exists():\n"
        "    Path('ended').touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n" + script.read_text()
    )
    disturbed.finish(disturbed.start(*COMMAND, target(disturbed)))
    first, second = fits_of(disturbed)
    assert (first["JobState"], second["JobState"]) == ("FAILED", "COMPLETED")
    assert (first["MinMemoryNode"], second["MinMemoryNode"]) == ("8000M", "16000M")
    assert (first["TimeLimit"], second["TimeLimit"]) == ("04:00:00", "08:00:00")


def test_a_second_run_in_the_same_folder(disturbed):
    """It is told that the folder is locked, and the first one does not notice."""
    run, _ = caught(disturbed)
    before = len(disturbed.cluster.jobs())
    said = len(disturbed.output)
    assert disturbed.run(*COMMAND, target(disturbed)) != 0
    assert "Directory cannot be locked" in disturbed.output[said:]
    assert "Traceback" not in disturbed.output[said:]
    assert len(disturbed.cluster.jobs()) == before
    disturbed.finish(run)
    assert [job["JobState"] for job in fits_of(disturbed)] == ["COMPLETED"]


def test_snakemake_is_killed_and_started_again(disturbed):
    """The old run's fit runs on beside the new run's, and does no harm."""
    run, _ = caught(disturbed)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert disturbed.run(*COMMAND, target(disturbed)) != 0
    assert "--unlock" in disturbed.output
    assert disturbed.run("--unlock") == 0
    again = disturbed.start(*COMMAND, target(disturbed))
    wait_for("a second fit", lambda: len(fits_of(disturbed)) > 1)
    disturbed.finish(again)
    wait_for("the first fit has ended", lambda: fits_of(disturbed)[0]["JobState"] != "RUNNING")
    assert fits_of(disturbed)[-1]["JobState"] == "COMPLETED"
