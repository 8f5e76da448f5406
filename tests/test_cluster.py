"""What a cluster is asked for, and what is said when it cannot give it."""

import os

import pytest
import yaml

from dust3d import cluster
from dust3d.errors import ClusterError, ConfigError

SHIPPED = {
    "partitions": {"cpu": "cpu", "gpu": "gpu"},
    "account": None,
    "gpu_type": None,
    "rules": {
        "fit": {"mem_mb": 8000, "runtime_min": 240, "cpus": 2, "gpus": 1},
        "score": {"mem_mb": 4000, "runtime_min": 30, "cpus": 1, "group": "maps"},
    },
}


def site(tmp_path, text):
    path = tmp_path / "site.yaml"
    path.write_text(text)
    return cluster.read_site(SHIPPED, path)


def test_attempts_ask_for_more():
    fit = cluster.read_site(SHIPPED).set_resources()["fit"]
    for attempt in (1, 2, 3):
        asked = {k: eval(str(v), {"attempt": attempt}) for k, v in fit.items()}
        assert asked["mem_mb"] == 8000 * attempt
        assert asked["runtime"] == 240 * attempt
        assert (asked["cpus_per_task"], asked["gpu"]) == (2, 1)
        assert asked["slurm_partition"] == "gpu"


def test_no_account_and_no_type_are_not_asked_for():
    plain = cluster.read_site(SHIPPED)
    assert plain.default_resources() == {"slurm_partition": "'cpu'"}
    assert "gpu_model" not in plain.set_resources()["fit"]
    assert plain.groups() == {"score": "maps"}


def test_a_site_states_only_what_differs(tmp_path):
    changed = site(
        tmp_path,
        "partitions: {gpu: a100-long}\naccount: my-project\ngpu_type: a100\n"
        "sbatch_options: --qos=long --exclude=n7\n"
        "rules: {fit: {mem_mb: 64000}, score: {partition: large, cpus: 3}}\n",
    )
    fit, score = changed.set_resources()["fit"], changed.set_resources()["score"]
    assert fit["slurm_partition"] == "'a100-long'"
    assert fit["gpu_model"] == "'a100'"
    assert (fit["mem_mb"], fit["runtime"]) == ("64000 * attempt", "240 * attempt")
    assert score["slurm_partition"] == "'large'"
    assert changed.default_resources()["slurm_account"] == "'my-project'"
    assert changed.default_resources()["slurm_extra"] == "'--qos=long --exclude=n7'"
    # a job must fit into what groups may have, or it gets no more than that
    assert changed.limits() == {"cpus_per_task": 3}
    assert site(tmp_path, "rules: {fit: {cpus: 8}}\n").limits() == {"cpus_per_task": 8}


def test_a_fit_may_have_several_processes(tmp_path):
    fit = site(tmp_path, "rules: {fit: {tasks: 2, gpus: 2}}\n").set_resources()["fit"]
    assert (fit["tasks"], fit["gpu"], fit["mpi"]) == (2, 2, "'srun'")
    assert not {"tasks", "mpi"} & set(cluster.read_site(SHIPPED).set_resources()["fit"])


def test_an_empty_file_changes_nothing(tmp_path):
    assert site(tmp_path, "# all as shipped\n") == cluster.read_site(SHIPPED)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partition: {gpu: x}\n", "partition: Extra inputs are not permitted"),
        ("rules: {fits: {mem_mb: 1}}\n", "rules.fits: no rule is called so; there are fit, score"),
        ("rules: {fit: {memory: 1}}\n", "rules.fit.memory: Extra inputs"),
        ("rules: {fit: {mem_mb: much}}\n", "rules.fit.mem_mb: Input should be a valid integer"),
        ("rules: {fit: {cpus: 0}}\n", "rules.fit.cpus: Input should be greater"),
        ("partitions: [gpu]\n", "partitions: Input should be"),
        ("- a\n", "not a mapping"),
        ("a: [\n", "not readable as YAML"),
    ],
)
def test_a_mistake_is_named(tmp_path, text, message):
    with pytest.raises(ConfigError, match=r"site\.yaml: ") as caught:
        site(tmp_path, text)
    assert message in str(caught.value)


def test_the_example_is_a_site(repository):
    folder = repository / "workflow" / "profiles" / "slurm"
    shipped = yaml.safe_load((folder / "config.yaml").read_text())["__variables__"]["shipped"]
    cluster.read_site(shipped, folder / "site.example.yaml")


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Commands of Slurm that print and end as told; nothing else is on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(sinfo="", code=0, names=("sbatch", "squeue", "sinfo")):
        for name in names:
            stream = "&2" if code else "&1"
            (folder / name).write_text(f"#!/bin/sh\necho '{sinfo}' >{stream}\nexit {code}\n")
            os.chmod(folder / name, 0o755)

    return make


def test_without_slurm(tools):
    with pytest.raises(ClusterError, match=r"`sbatch` is not found.*login node"):
        cluster.preflight({"cpu": False})
    tools(names=("sbatch", "squeue"))
    with pytest.raises(ClusterError, match="`sinfo` is not found"):
        cluster.preflight({"cpu": False})


def test_without_a_controller(tools):
    tools("slurm_load_partitions: Unable to contact slurm controller", code=1)
    with pytest.raises(ClusterError, match=r"cannot be reached .*Unable to contact.*nothing was"):
        cluster.preflight({"cpu": False})


def test_partitions(tools):
    tools("long|(null)\nlong|gpu:a100:4\nshort|(null)")
    cluster.preflight({"long": True, "short": False})
    with pytest.raises(ClusterError, match=r"no partition `cpu` \(it has long, short\)"):
        cluster.preflight({"cpu": False})
    with pytest.raises(ClusterError, match="`short` has no GPUs"):
        cluster.preflight({"short": True})
