"""The same configuration and seed: the same bits if asked for, else nearly the same numbers.

Each fit runs in a process of its own, with its own hash seed, threads and devices.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from tests.inference.test_processes import arguments, arrays
from tests.stages.test_fit import table

DEADLINE_S = 300
# large enough that FINUFFT and products with R share their work out among threads
EXACT = {
    "rays": {"method": "exact", "exact": {"nodes": 24, "evaluator": "finufft"}},
    "optimiser": {"newton": {"max_steps": 0}},
}
PRODUCTION = {
    "rays": {"production": {"kernel": "trilinear", "oversampling": 20}},
    "optimiser": {"newton": {"max_steps": 1, "method": "iterative"}},
}
CASES = [
    pytest.param(EXACT, id="exact", marks=pytest.mark.slow),
    pytest.param(PRODUCTION, id="production"),
]


@pytest.fixture(scope="module")
def stars(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stars")
    return {
        "train": table(folder / "train.h5", 4000, 1, 3),
        "heldout": table(folder / "heldout.h5", 400, 2, 3),
    }


def run(stars, folder, repository, changes, *, precision, cores=None, devices=None, **switches):
    """A fit in a process of its own, on so many cores or devices."""
    adam = {"method": {"kind": "adam", "epochs": 4, "batch": 4000}}
    optimiser = adam | changes["optimiser"] | {"precision": precision}
    given = arguments(stars, folder, rays=changes["rays"], optimiser=optimiser, **switches)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(repository), str(repository / "src")]),
        "JAX_COMPILATION_CACHE_DIR": str(repository / ".jax_cache"),
    }
    if devices is not None:
        environment["DUST3D_CPU_DEVICES"] = str(devices)
    command = [sys.executable, "-m", "dust3d.stages.fit_process", json.dumps(given)]
    if cores is not None:
        chosen = sorted(os.sched_getaffinity(0))[:cores]
        command = ["taskset", "-c", ",".join(map(str, chosen)), *command]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return arrays(folder / "field.h5")


def worst(one, two):
    """The largest difference, in units of the largest number of its array."""
    assert one.keys() == two.keys()
    found = [0.0]
    for name, values in one.items():
        if values.dtype.kind == "f" and values.size:
            found.append(float(np.abs(two[name] - values).max() / np.abs(values).max()))
    return max(found)


@pytest.mark.parametrize("changes", CASES)
def test_the_same_bits_if_asked_for(changes, stars, tmp_path, repository):
    """In single precision, where each order of a sum shows; on one core, nearly the same."""
    found = [
        run(
            stars,
            tmp_path / str(i),
            repository,
            changes,
            precision="float32",
            cores=cores,
            deterministic=True,
        )
        for i, cores in enumerate([None, None, 1])
    ]
    assert found[1].keys() == found[0].keys()
    for name, values in found[0].items():
        np.testing.assert_array_equal(found[1][name], values, err_msg=name)
    assert worst(found[0], found[2]) < 1e-5


def test_nearly_the_same_on_other_threads_and_devices_without_newton(stars, tmp_path, repository):
    """The quick one: threads and devices differ at once."""
    changes = PRODUCTION | {"optimiser": {"newton": {"max_steps": 0}}}
    one, other = (
        run(stars, tmp_path / str(i), repository, changes, precision="float64", **machine)
        for i, machine in enumerate([{"cores": 1}, {"devices": 2}])
    )
    assert worst(one, other) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("changes", CASES)
def test_nearly_the_same_on_other_threads_and_devices(changes, stars, tmp_path, repository):
    """In double precision: Adam makes much of the last bits of small gradients."""
    one, two, shared = (
        run(stars, tmp_path / str(i), repository, changes, precision="float64", **machine)
        for i, machine in enumerate([{"cores": 1}, {"cores": 2}, {"devices": 2}])
    )
    assert worst(one, two) < 1e-5
    assert worst(one, shared) < 1e-5
