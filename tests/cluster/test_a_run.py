"""The small grid by the exact command, on a real Slurm: `snakemake --cores all --profile slurm`."""

import json
import re
import time

import pytest
from tests.cluster.conftest import COMMAND

from dust3d.config.run import parse

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def finished(checkout, small):
    made = checkout(small)
    started = time.monotonic()
    made.finish(made.start(*COMMAND))
    made.seconds = time.monotonic() - started
    return made


def test_it_takes_less_than_five_minutes(finished):
    assert finished.seconds < 300


def test_every_product_is_there(finished, small):
    for fit in parse(small).fit_names():
        assert (finished.results / "fits" / fit / "field.h5").is_file()
        assert (finished.results / "maps" / f"{fit}.zarr" / "zarr.json").is_file()
    assert (finished.results / "comparison.csv").is_file()
    assert (finished.results / "figures" / "compare-slices.png").is_file()
    assert not [p for p in finished.results.rglob("*") if ".part" in p.name]


def test_every_fit_ran_on_the_gpu_partition(finished, small):
    """By Slurm's own records."""
    names = parse(small).fit_names()
    jobs = {job["Comment"]: job for job in finished.cluster.jobs_of("fit_wildcards")}
    assert set(jobs) == {f"rule_fit_wildcards_{name}" for name in names}
    for job in jobs.values():
        assert job["Partition"] == "gpu"
        assert job["JobState"] == "COMPLETED"
        assert "gpu:1" in job["TresPerJob"]
        assert (job["NumCPUs"], job["MinMemoryNode"]) == ("2", "8000M")
    ended = (finished.cluster.folder / "jobcomp.log").read_text().splitlines()
    for job in jobs.values():
        record = next(row for row in ended if f"JobId={job['JobId']} " in row)
        assert "Partition=gpu" in record
        assert "JobState=COMPLETED" in record


def test_nothing_else_did(finished):
    others = [j for j in finished.cluster.jobs() if not j["Comment"].startswith("rule_fit_wild")]
    assert others
    for job in others:
        assert job["Partition"] == "cpu"
        assert "gpu" not in job.get("TresPerJob", "")
        assert int(job["NumCPUs"]) <= 2
        assert int(job["MinMemoryNode"].removesuffix("M")) <= 8000


def test_short_jobs_went_together(finished, small):
    fits = len(parse(small).fit_names())
    comments = [job["Comment"] for job in finished.cluster.jobs()]
    # the environment, the stars, each fit, what follows each, eleven figures and tables by fours
    assert len(comments) == 1 + 1 + fits + fits + 3, comments


def test_the_first_job_wrote_down_its_node(finished):
    found = json.loads((finished.results / "logs" / "environment.json").read_text())
    assert found["slurm_job"] == min((j["JobId"] for j in finished.cluster.jobs()), key=int)
    assert found["gpus_given"] == 0
    assert found["cores"] == 1


def test_a_fit_says_that_its_gpu_is_none(finished):
    log = (finished.results / "logs" / "fit-fourier-2x2x1.log").read_text()
    assert "given 1 GPU" in log
    assert "going on with the CPU (allow_cpu: true)" in log


def test_a_second_run_does_nothing(finished):
    assert finished.run(*COMMAND) == 0
    assert "Nothing to be done" in finished.output


def test_a_gpu_that_is_none_stops_the_fit(finished, small, tmp_path):
    """With `allow_cpu: false`, as it is unless the configuration says otherwise."""
    other = finished.copy(tmp_path / "project")
    strict = {key: value for key, value in small.items() if key != "allow_cpu"}
    (other.folder / "config" / "config.yaml").write_text(json.dumps(strict))
    target = other.results / "fits" / "fourier-2x2x1" / "field.h5"
    target.unlink()
    path = target.relative_to(other.folder)
    assert other.run(*COMMAND, "--retries", "0", str(path)) != 0
    log = (other.results / "logs" / "fit-fourier-2x2x1.log").read_text()
    assert "JAX finds none" in log
    assert "Traceback" not in log
    assert not target.exists()


def test_an_unknown_partition_is_said_before_any_job(finished, checkout, small):
    other = checkout(small)
    (other.folder / "slurm" / "site.yaml").write_text("partitions: {gpu: a100}\n")
    before = len(other.cluster.jobs())
    assert other.run(*COMMAND) == 1
    assert "dust3d: the cluster has no partition `a100` (it has cpu, gpu)" in other.output
    assert "Traceback" not in other.output
    assert len(other.cluster.jobs()) == before


def test_a_controller_that_does_not_answer_is_said_before_any_job(checkout, small, tmp_path):
    other = checkout(small)
    conf = (other.cluster.folder / "slurm.conf").read_text()
    # nobody listens there
    (tmp_path / "slurm.conf").write_text(re.sub("SlurmctldPort=.*", "SlurmctldPort=1", conf))
    assert other.run(*COMMAND, SLURM_CONF=str(tmp_path / "slurm.conf")) == 1
    assert "dust3d: the controller of Slurm cannot be reached" in other.output
    assert "Traceback" not in other.output


def test_a_node_with_other_versions_stops_the_run(checkout, small):
    """The node has another JAX, so to say; the host where the run was started has not."""
    other = checkout(small)
    source = other.folder / "src" / "dust3d" / "provenance.py"
    text = source.read_text()
    assert "import ast\n" in text
    planted = text.replace("import ast\n", "import ast\nimport os\n").replace(
        "    return found\n\n\ndef device_name",
        "    if 'SLURM_JOB_ID' in os.environ:\n        found['jax'] = '0.0.1'\n"
        "    return found\n\n\ndef device_name",
    )
    assert "0.0.1" in planted
    source.write_text(planted)
    path = other.results / "logs" / "environment.json"
    assert other.run(*COMMAND, "--retries", "0", str(path.relative_to(other.folder))) != 0
    log = (other.results / "logs" / "environment.log").read_text()
    assert "jax 0.0.1 here" in log
    assert "where the run was started" in log
    assert not path.exists()


def test_jobs_know_their_memory(finished):
    """What the rules ask for, 2000 MB and 8000 MB; the machine has more."""
    found = json.loads((finished.results / "logs" / "environment.json").read_text())
    assert found["memory_gb"] == round(0.9 * 2000 * 2**20 / 1e9, 1)
    log = (finished.results / "logs" / "fit-fourier-2x2x1.log").read_text()
    assert f"of {0.9 * 8000 * 2**20 / 1e9:.3g} GB" in log
