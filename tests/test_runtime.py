"""A job sees what Slurm gave it, and says so when that is less than was promised."""

import os
import subprocess
import sys

import pytest

from dust3d import runtime
from dust3d.errors import ClusterError

NAMES = ("SLURM_JOB_ID", "SLURM_GPUS_ON_NODE", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS")


@pytest.fixture
def given(monkeypatch):
    """Sets variables as Slurm would, after those that are there have gone."""
    mine = ("SLURM_CPUS_PER_TASK", "SLURM_MEM_PER_NODE", runtime.ALLOW_CPU, runtime.MEMORY_MB)
    for name in (*NAMES, *mine):
        # set first, so that what a test leaves behind goes, too
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def give(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return give


@pytest.mark.parametrize(
    ("variables", "gpus"),
    [
        ({}, None),
        # left over from elsewhere: no job
        ({"SLURM_GPUS_ON_NODE": "2"}, None),
        ({"SLURM_JOB_ID": "7"}, 0),
        ({"SLURM_JOB_ID": "7", "SLURM_GPUS_ON_NODE": "2"}, 2),
        ({"SLURM_JOB_ID": "7", "SLURM_STEP_GPUS": "0,3"}, 2),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "1"}, 1),
    ],
)
def test_gpus_that_were_given(given, variables, gpus):
    given(**variables)
    assert runtime.given_gpus() == gpus


def test_without_a_promise_the_cpu_will_do(given):
    runtime.require_given_gpus()
    given(SLURM_JOB_ID="7")
    runtime.require_given_gpus()


def test_a_promise_that_is_not_kept(given, caplog):
    """These tests run where JAX has no GPU, or is told to leave it."""
    import jax

    if jax.default_backend() != "cpu":
        assert runtime.require_given_gpus() is None
        return
    given(SLURM_JOB_ID="7", SLURM_GPUS_ON_NODE="1")
    with pytest.raises(ClusterError, match=r"given 1 GPU on .* JAX finds none.*allow_cpu: true"):
        runtime.device_name()
    given(**{runtime.ALLOW_CPU: "0"})
    with pytest.raises(ClusterError):
        runtime.require_given_gpus()
    given(**{runtime.ALLOW_CPU: "1"})
    with caplog.at_level("WARNING", logger="dust3d"):
        runtime.require_given_gpus()
    assert "going on with the CPU" in caplog.text


def test_cores_are_those_of_the_job(given, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    assert runtime.cores() == 16
    given(SLURM_CPUS_PER_TASK="4")
    assert runtime.cores() == 4
    given(SLURM_CPUS_PER_TASK="64")
    assert runtime.cores() == 16


def threads_of_xla(**variables: str) -> int:
    """Threads that XLA computes with, in a process of its own."""
    code = (
        "import os\n"
        "from pathlib import Path\n"
        "from dust3d import runtime\n"
        "runtime.configure()\n"
        "import jax, jax.numpy as jnp\n"
        "assert os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] == 'false'\n"
        "jax.block_until_ready(jnp.ones((500, 500)) @ jnp.ones((500, 500)))\n"
        "names = [(t / 'comm').read_text() for t in Path('/proc/self/task').iterdir()]\n"
        "print(sum(name.startswith('tf_XLAEigen') for name in names))\n"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SLURM") and k != "NPROC"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean | variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are read from /proc")
def test_jax_has_as_many_threads_as_the_job_has_cpus():
    all_of_them = threads_of_xla()
    assert all_of_them == len(os.sched_getaffinity(0))
    assert threads_of_xla(SLURM_JOB_ID="7", SLURM_CPUS_PER_TASK="1") == 1


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("0::/system.slice/job_7/step_0", "memory.max"),
        ("9:cpu,memory:/system.slice/job_7/step_0", "memory/memory.limit_in_bytes"),
    ],
)
@pytest.mark.parametrize("level", ["", "system.slice", "system.slice/job_7/step_0"])
def test_memory_is_that_of_the_control_groups(given, monkeypatch, tmp_path, line, name, level):
    """Of Slurm's, which holds a job, or of any in which that lies."""
    own = tmp_path / "cgroup"
    own.write_text(f"1:name=systemd:/elsewhere\n{line}\n")
    monkeypatch.setattr(runtime, "_CGROUP", own)
    monkeypatch.setattr(runtime, "_CGROUPS", tmp_path / "tree")
    tree, _, file = name.rpartition("/")
    folder = tmp_path / "tree" / tree / "system.slice" / "job_7" / "step_0"
    folder.mkdir(parents=True)
    (folder / file).write_text("max\n")
    free = runtime.memory_limit_bytes(steady=True)
    (tmp_path / "tree" / tree / level / file).write_text("100000000\n")
    assert free > 0.9e8
    assert runtime.memory_limit_bytes(steady=True) == pytest.approx(0.9e8)


def test_memory_is_what_the_job_asked_for(given):
    free = runtime.memory_limit_bytes(steady=True)
    runtime.hold_to_memory(300)
    assert runtime.memory_limit_bytes(steady=True) == free, "no job of Slurm"
    given(SLURM_JOB_ID="7")
    runtime.hold_to_memory(None)
    assert runtime.memory_limit_bytes(steady=True) == free
    runtime.hold_to_memory(300)
    assert runtime.memory_limit_bytes(steady=True) == pytest.approx(0.9 * 300 * 2**20)
