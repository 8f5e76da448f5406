"""Memory: what is predicted, when a fit streams or is refused, and that predictions hold."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from dust3d import runtime
from dust3d.errors import FitError
from dust3d.inference.cost import cost_of, work
from dust3d.inference.memory import GB, Budget, Load, peak_bytes
from dust3d.inference.streams import KEPT

LOAD = Load(
    stars=1_000_000,
    heldout=100_000,
    batch=10_000,
    heldout_batch=50_000,
    parameters=10_000,
    ray_bytes=2000.0,
    voxels=300_000,
    columns=2,
    nodes=0,
    itemsize=4,
    ndim=3,
    at_once=200_000,
    block=0,
)


def peak(load=LOAD, *, streamed=False):
    return sum(peak_bytes(load, streamed=streamed, held=0.5 * GB).values())


def test_rays_of_all_stars_are_held_unless_they_are_streamed():
    assert peak_bytes(LOAD, streamed=False, held=0.0)["rays"] == 1.1e6 * 2000
    assert peak_bytes(LOAD, streamed=True, held=0.0)["rays"] == KEPT * 60_000 * 2000
    # positions, extinction, sigma and class in 8 bytes each; a place; four numbers of 4 bytes
    assert peak_bytes(LOAD, streamed=False, held=0.0)["stars"] == 1.1e6 * (48 + 4 + 16)


def test_more_stars_cost_nothing_when_streamed():
    twice = replace(LOAD, stars=2_000_000)
    assert peak(twice, streamed=True) == peak(streamed=True)
    # R of all stars is put together from parts of so many
    assert peak(replace(LOAD, at_once=0)) == pytest.approx(peak() - 2e5 * 2000)
    assert peak(twice) - peak() == pytest.approx(1e6 * (2000 + 68))


@pytest.mark.parametrize("name", ["parameters", "voxels", "columns", "itemsize", "batch"])
def test_a_step_costs_more_with_more_of_everything(name):
    larger = replace(LOAD, nodes=50, **{name: 2 * getattr(LOAD, name)})
    assert peak(larger, streamed=True) > peak(replace(LOAD, nodes=50), streamed=True)


def test_newton_steps_cost_a_dense_block():
    load = replace(LOAD, block=2000)
    assert peak_bytes(load, streamed=True, held=0.0)["newton"] > 4 * 2000**2 * 4
    assert peak_bytes(LOAD, streamed=True, held=0.0)["newton"] == 0
    # four numbers of each star are kept from product to product
    twice = peak_bytes(replace(load, stars=2_000_000), streamed=True, held=0.0)
    more = twice["newton"] - peak_bytes(load, streamed=True, held=0.0)["newton"]
    assert more == 1e6 * 4 * 4


def test_uncertain_distances_cost_numbers_for_each_of_their_cells():
    load = replace(LOAD, rays=7)
    stars = [peak_bytes(some, streamed=False, held=0.0)["stars"] for some in (LOAD, load)]
    # a distance and a spread for each cell, in 8 bytes and in the fit's 4
    assert stars[1] - stars[0] == 1.1e6 * 7 * 2 * (8 + 4)
    exact = replace(LOAD, ray_bytes=0.0, voxels=0, nodes=30)
    steps = [
        peak_bytes(some, streamed=True, held=0.0)["step"]
        for some in (exact, replace(exact, rays=7))
    ]
    parameters = 12 * 4 * LOAD.parameters
    assert steps[1] - parameters == 7 * (steps[0] - parameters)
    newton = [
        peak_bytes(replace(some, block=2000), streamed=False, held=0.0)["newton"]
        for some in (LOAD, load)
    ]
    assert newton[1] - newton[0] == 1e6 * (2 * 6 + 7) * 4
    assert work(replace(exact, rays=7)) > 6 * work(exact)


def test_a_dense_metric_that_would_not_fit_is_refused():
    load = replace(LOAD, stars=1000, heldout=100, block=2000, dense=30_000)
    assert peak_bytes(load, streamed=False, held=0.0)["newton"] > 3 * 8 * 30_000**2
    with pytest.raises(FitError, match=r"most of it: newton.*method: iterative"):
        Budget(False, 4.0, held=0.5 * GB).plan("fit", load)
    # streamed stars are never seen by a dense metric
    assert Budget(True, 4.0, held=0.5 * GB).plan("fit", load)


def test_a_higher_order_has_longer_rows_and_more_of_all_in_a_box():
    larger = LOAD.scaled(order=2.0)
    assert (larger.ray_bytes, larger.voxels, larger.parameters) == (4000, 2_400_000, 80_000)
    assert larger.stars == LOAD.stars
    assert work(LOAD.scaled(stars=2.0)) == pytest.approx(2 * work(LOAD))


@pytest.mark.parametrize(
    ("stream", "limit_gb", "streamed"),
    [("auto", 10.0, False), ("auto", 2.0, True), (True, 10.0, True), (False, 10.0, False)],
)
def test_a_fit_streams_if_it_must_or_is_told_to(stream, limit_gb, streamed):
    budget = Budget(stream, limit_gb, held=0.5 * GB)
    assert budget.plan("fit", LOAD) is streamed
    assert budget.streamed is streamed
    assert budget.predicted == pytest.approx(peak(streamed=streamed))
    # a smaller phase that follows does not lower the peak
    budget.plan("fit", replace(LOAD, voxels=1000))
    assert budget.predicted == pytest.approx(peak(streamed=streamed))


@pytest.mark.parametrize(
    ("stream", "load", "advice"),
    [
        (False, LOAD, "most of it: rays.*set optimiser.stream: auto"),
        ("auto", replace(LOAD, batch=10**6), "most of it: rays.*lower optimiser.method.batch"),
        ("auto", replace(LOAD, voxels=10**8), "most of it: step.*lower the order"),
        ("auto", LOAD, "optimiser.memory_gb"),
    ],
)
def test_a_fit_that_cannot_fit_is_refused_with_what_to_do(stream, load, advice):
    with pytest.raises(FitError, match=rf"fit: needs about .* GB.*than the 1 GB.*{advice}"):
        Budget(stream, 1.0, held=0.5 * GB).plan("fit", load)


def test_a_fit_tells_its_speed_and_the_next_size():
    budget = Budget(False, 10.0, held=0.5 * GB)
    budget.plan("fit", LOAD)
    cost = cost_of(budget, steps=300, batches=100, seconds=6.0, setup_seconds=4.0)
    assert cost.gradients == 3
    assert cost.stars_per_s == 5e5
    assert cost.twice_the_stars.seconds == 20
    assert cost.twice_the_stars.memory_gb == pytest.approx(peak(LOAD.scaled(stars=2.0)) / GB)
    assert cost.twice_the_order.seconds > 20
    assert 0 < cost.measured_memory_gb < 100


def test_the_limit_is_the_smallest_of_machine_and_job(monkeypatch):
    limit = runtime.memory_limit_bytes()
    assert runtime.resident_bytes() < limit
    assert runtime.resident_bytes() <= runtime.peak_resident_bytes()
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "500")
    assert runtime.memory_limit_bytes() == pytest.approx(0.9 * 500 * 2**20)
    assert Budget("auto", 3.0).limit == 3e9


CODE = """
import sys
from pathlib import Path
from tests.stages import test_fit
folder, stream = Path(sys.argv[1]), sys.argv[2] == "True"
tables = {name: test_fit.table(folder / f"{name}.h5", n, i, 3)
          for i, (name, n) in enumerate([("train", 60_000), ("heldout", 3_000)])}
optimiser = {"method": {"kind": "adam", "epochs": 2, "batch": 8192}, "stream": stream,
             "newton": {"max_steps": 1, "method": "iterative", "max_products": 60}}
test_fit.run(folder / "fit", {3: tables}, "fourier-12x12x12", 3, optimiser=optimiser,
    fits={"fourier": {"orders": [[12, 12, 12]]}},
    rays={"production": {"kernel": "cubic", "oversampling": 4, "max_error_sigma": 100}})
"""


@pytest.mark.parametrize("stream", [False, True])
def test_the_peak_is_as_predicted(stream, tmp_path, repository):
    """In a process of its own: peaks count from its start."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(repository), str(repository / "src")]),
        "JAX_COMPILATION_CACHE_DIR": str(repository / ".jax_cache"),
    }
    command = [sys.executable, "-c", CODE, str(tmp_path), str(stream)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    cost = json.loads((tmp_path / "fit" / "fit.json").read_text())["cost"]
    assert cost["streamed"] is stream
    assert cost["predicted_memory_gb"] == pytest.approx(cost["measured_memory_gb"], rel=0.3)
