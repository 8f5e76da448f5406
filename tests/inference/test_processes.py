"""Two processes for one fit against one: the same answer, half of the stars each, one end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from tests.stages.test_fit import table

from dust3d.config import run as configuration
from dust3d.errors import ConfigError, FitError
from dust3d.inference.batches import rows_in_order
from dust3d.interrupts import EXIT_CODE
from dust3d.launch import launch
from dust3d.processes import Group, described
from dust3d.stages import fit

DEADLINE_S = 240


class TestDescribed:
    """Who takes part, from variables alone."""

    def test_nothing_is_one(self):
        assert described({}) is None
        assert described({"DUST3D_PROCESSES": "1", "DUST3D_PROCESS": "0"}) is None

    def test_ours(self):
        ours = {
            "DUST3D_PROCESSES": "3",
            "DUST3D_PROCESS": "2",
            "DUST3D_COORDINATOR": "127.0.0.1:5000",
        }
        assert described(ours) == Group(3, 2, "127.0.0.1:5000", neighbours=3)
        far = described(ours | {"DUST3D_COORDINATOR": "node7:5000"})
        assert far is not None
        assert far.neighbours == 1

    @pytest.mark.parametrize(
        "wrong",
        [{"DUST3D_PROCESS": "3"}, {"DUST3D_PROCESS": "x"}, {"DUST3D_COORDINATOR": None}],
    )
    def test_contradictions_are_said(self, wrong):
        given = {"DUST3D_PROCESSES": "3", "DUST3D_PROCESS": "0", "DUST3D_COORDINATOR": "a:1"}
        given = {k: v for k, v in (given | wrong).items() if v is not None}
        with pytest.raises(ConfigError, match="DUST3D_PROCESS"):
            described(given)

    STEP = {
        "SLURM_JOB_ID": "12345",
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_NUM_NODES": "2",
        "SLURM_STEP_NODELIST": "gpu[007-008,011]",
        "SLURM_PROCID": "3",
        "SLURM_LOCALID": "1",
    }

    def test_a_step_of_slurm(self):
        group = described(self.STEP)
        assert group == Group(4, 3, f"gpu007:{61440 + 12345 % 4096}", neighbours=2)

    @pytest.mark.parametrize(
        ("nodes", "first"),
        [("n1,n2", "n1"), ("node[3,5]", "node3"), ("a-b[01-04],c", "a-b01"), ("alone", "alone")],
    )
    def test_the_first_node(self, nodes, first):
        group = described(self.STEP | {"SLURM_STEP_NODELIST": nodes})
        assert group is not None
        assert group.coordinator.startswith(first + ":")

    def test_tasks_on_one_node_need_no_names(self):
        group = described(self.STEP | {"SLURM_STEP_NUM_NODES": "1"})
        assert group is not None
        assert group.coordinator.startswith("127.0.0.1:")

    def test_gpus_are_shared_out_unless_slurm_did(self):
        for visible, own in [("0,1", (1,)), ("0,1,2,3", (2, 3)), ("0", None), ("", None)]:
            group = described(self.STEP | {"CUDA_VISIBLE_DEVICES": visible})
            assert group is not None
            assert group.devices == own

    def test_a_batch_script_of_several_tasks_is_alone(self):
        assert described({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}) is None
        assert described(self.STEP | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}) is None


def test_every_star_is_one_process_s(monkeypatch):
    from dust3d import processes
    from dust3d.inference.devices import own_rows

    rows = rows_in_order(11, 5)
    found = []
    for i in range(3):
        monkeypatch.setattr(processes, "_joined", Group(3, i, "a:1"))
        own = own_rows(rows)
        assert own.shape == (3, 2)
        found += own[own >= 0].tolist()
    assert sorted(found) == list(range(11))


@pytest.fixture(scope="module")
def stars(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stars")
    return {
        "train": table(folder / "train.h5", 1201, 1, 3),
        "heldout": table(folder / "heldout.h5", 131, 2, 3),
    }


def arguments(stars, folder, name="fourier-3x3x1", **changes):
    """Those of `fit.run`, of fits of the size of config/test.yaml."""
    optimiser = {
        "method": {"kind": "adam", "epochs": 6, "batch": 512},
        "mlp_method": {"kind": "adam", "epochs": 4, "batch": 512, "learning_rate": [0.01, 0.001]},
        "newton": {"max_steps": 2, "method": "iterative"},
        "snapshots": 2,
        "precision": "float64",
    } | changes.pop("optimiser", {})
    content = {
        "run": "small",
        "seed": 1,
        "box": {"half_widths_kpc": [1.5, 1.5, 1.5]},
        "mock": {"truth": {"kind": "fourier", "order": [3, 3, 1]}, "stars": {"number": 100}},
        "fits": {
            "fourier": {"orders": [[3, 3, 1]]},
            "mlp": {"layers": [[6]], "features": 6, "feature_scale_kpc": 1.0},
        },
        "prior": {"std": 0.8, "std_scale_kpc": 0.5},
        "optimiser": optimiser,
        "map": {"cells": [8, 8, 8]},
    } | changes
    return {
        "name": name,
        "train": str(stars["train"]),
        "heldout": str(stars["heldout"]),
        "start": None,
        "folder": str(folder),
        "settings": configuration.parse(content).fit_settings(name),
        "seed": 1,
        "source": "digest",
    }


@pytest.fixture
def environment(repository, monkeypatch):
    """Of processes that find the tests and keep what they compile."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(repository), str(repository / "src")]))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(repository / ".jax_cache"))
    return repository


def arrays(path):
    """All numbers of a field."""
    found = {}

    def take(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item)

    with h5py.File(path) as file:
        file["field"].visititems(take)
    return found


def assert_same_field(one, two, rtol=1e-5):
    one, two = arrays(one / "field.h5"), arrays(two / "field.h5")
    assert one.keys() == two.keys()
    for name, values in one.items():
        if values.dtype.kind == "f":
            atol = rtol * np.abs(values).max(initial=0)
            np.testing.assert_allclose(two[name], values, rtol=0, atol=atol, err_msg=name)


CASES = {
    "iterative": {},
    "dense": {"optimiser": {"newton": {"max_steps": 2, "method": "dense"}}},
    "streamed": {"optimiser": {"stream": True, "newton": {"max_steps": 1}}},
    "exact": {"rays": {"method": "exact"}, "optimiser": {"newton": {"max_steps": 0}}},
    "network": {"name": "mlp-6"},
    "original": {
        "optimiser": {
            "method": {
                "kind": "original",
                "batch": 512,
                "stages": [
                    {
                        "order": [3, 3, 1],
                        "epochs": 3,
                        "drops": 2,
                        "log10_weight": [-2.0, -3.0],
                        "gamma": [3.6, 1.8],
                        "learning_rate": [1e-3, 1e-4],
                    }
                ],
            },
            "precision": "float64",
        }
    },
}


@pytest.mark.parametrize(
    "case", [c if c == "iterative" else pytest.param(c, marks=pytest.mark.slow) for c in CASES]
)
def test_two_processes_give_the_answer_of_one(case, stars, tmp_path, environment):
    one, two = tmp_path / "one", tmp_path / "two"
    fit.run(**arguments(stars, one, **CASES[case]))
    launch(
        "tests.inference.fit_counted", arguments(stars, two, **CASES[case]), tasks=2, launcher=None
    )
    assert_same_field(one, two)
    names = {"field.h5", "fit.json", "history.h5"}
    left = {path.name for path in two.iterdir() if not path.name.startswith("checkpoint")}
    assert left == names | {"counted-0.json", "counted-1.json"}
    summary = json.loads((two / "fit.json").read_text())
    assert summary["cost"]["processes"] == 2
    alone = json.loads((one / "fit.json").read_text())
    for step, expected in zip(summary["newton"], alone["newton"], strict=True):
        assert step["log_posterior"] == pytest.approx(expected["log_posterior"], rel=1e-7)
    # what each holds of the training stars, and of R
    counted = [json.loads((two / f"counted-{i}.json").read_text()) for i in range(2)]
    assert sum(c["stars"] for c in counted) == 1201
    for c in counted:
        assert abs(c["stars"] - 600.5) < 20
    if case == "iterative":
        entries = [c["entries"] for c in counted]
        assert min(entries) > 0.4 * sum(entries)


@pytest.mark.parametrize("failing", ["1", pytest.param("0", marks=pytest.mark.slow)])
def test_all_processes_end_with_the_error_of_one(
    failing, stars, tmp_path, environment, monkeypatch
):
    """Whichever it is; nothing half-written stays behind."""
    monkeypatch.setenv("TEST_FAILING_PROCESS", failing)
    with pytest.raises(FitError, match="planted in process " + failing):
        launch("tests.inference.fit_counted", arguments(stars, tmp_path / "fit"), tasks=2)
    names = [path.name for path in (tmp_path / "fit").iterdir()]
    assert "field.h5" not in names
    assert [n for n in names if "scratch" in n or ".part" in n] == []


def test_a_process_that_vanishes_ends_the_other(stars, tmp_path, environment, monkeypatch):
    monkeypatch.setenv("TEST_FAILING_PROCESS", "1")
    monkeypatch.setenv("TEST_FAILING_HOW", "kill")
    with pytest.raises(FitError, match=r"lost another one|exit codes"):
        launch("tests.inference.fit_counted", arguments(stars, tmp_path / "fit"), tasks=2)
    assert not (tmp_path / "fit" / "field.h5").exists()


def test_one_signal_ends_all_and_a_second_run_goes_on(stars, tmp_path, environment):
    """SIGTERM at one process alone, as when a node is drained: both end, and both resume."""
    optimiser = {"checkpoint_every_s": 0, "newton": {"max_steps": 0}}
    folder = tmp_path / "fit"
    given = arguments(stars, folder, optimiser=optimiser)
    waiting = {"TEST_FAILING_PROCESS": "1", "TEST_FAILING_HOW": "wait"}
    children = started(given, waiting)
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not (folder / "waiting").exists():
            assert time.monotonic() < deadline
            assert all(child.poll() is None for child in children)
            time.sleep(0.05)
        children[1].send_signal(signal.SIGTERM)
        texts = [child.communicate(timeout=DEADLINE_S)[1] for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert [child.returncode for child in children] == [EXIT_CODE] * 2, texts
    (folder / "waiting").unlink()
    left = {path.name for path in folder.iterdir()}
    assert left == {"checkpoint.h5", "checkpoint.previous.h5"}
    again = started(given, {})
    texts = [child.communicate(timeout=DEADLINE_S)[1] for child in again]
    assert [child.returncode for child in again] == [0, 0], texts
    assert "resumed at epoch 2, step 1 of phase 1" in texts[0]
    undisturbed = tmp_path / "undisturbed"
    fit.run(**arguments(stars, undisturbed, optimiser=optimiser))
    assert_same_field(undisturbed, folder)


def started(given, variables):
    """Two processes of a fit."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    group = {"DUST3D_PROCESSES": "2", "DUST3D_COORDINATOR": address} | variables
    return [
        subprocess.Popen(
            [sys.executable, "-m", "tests.inference.fit_counted", json.dumps(given)],
            env=os.environ | group | {"DUST3D_PROCESS": str(i)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
