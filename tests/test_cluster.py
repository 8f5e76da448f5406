"""What a cluster is asked for, and what is said when it cannot give it."""

import os
import re
from types import SimpleNamespace

import pytest
import yaml
from snakemake_executor_plugin_slurm.validation import validate_slurm_extra
from snakemake_interface_common.exceptions import WorkflowError

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


TWO_TASKS = "rules: {fit: {tasks: 2, gpus: 2}}\n"


def shipped_by(repository):
    profile = repository / "workflow" / "profiles" / "slurm" / "config.yaml"
    return yaml.safe_load(profile.read_text())["__variables__"]["shipped"]


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
        "sbatch_options: --exclude=n7 --mail-type=FAIL\n"
        "qos: long\nconstraint: avx512\n"
        "rules: {fit: {mem_mb: 64000, qos: longer, account: 4711}, "
        "score: {partition: large, cpus: 3}}\n",
    )
    fit, score = changed.set_resources()["fit"], changed.set_resources()["score"]
    assert fit["slurm_partition"] == "'a100-long'"
    assert fit["gpu_model"] == "'a100'"
    assert (fit["mem_mb"], fit["runtime"]) == ("64000 * attempt", "240 * attempt")
    assert score["slurm_partition"] == "'large'"
    assert changed.default_resources()["slurm_account"] == "'my-project'"
    assert (fit["slurm_account"], score["slurm_account"]) == ("'4711'", "'my-project'")
    assert (fit["qos"], score["qos"], changed.default_resources()["qos"]) == (
        "'longer'",
        "'long'",
        "'long'",
    )
    assert fit["constraint"] == changed.default_resources()["constraint"] == "'avx512'"
    assert changed.default_resources()["slurm_extra"] == "'--exclude=n7 --mail-type=FAIL'"
    # a job must fit into what groups may have, or it gets no more than that
    assert changed.limits() == {"cpus_per_task": 3}
    assert site(tmp_path, "rules: {fit: {cpus: 8}}\n").limits() == {"cpus_per_task": 8}


def test_a_fit_may_have_several_processes(tmp_path):
    fit = site(tmp_path, TWO_TASKS).set_resources()["fit"]
    assert (fit["tasks"], fit["gpu"], fit["mpi"]) == (2, 2, "'srun'")
    assert not {"tasks", "mpi"} & set(cluster.read_site(SHIPPED).set_resources()["fit"])


def test_gpus_of_one_process_are_on_one_node(tmp_path):
    assert site(tmp_path, "rules: {fit: {gpus: 2}}\n").set_resources()["fit"]["nodes"] == 1
    assert "nodes" not in cluster.read_site(SHIPPED).set_resources()["fit"]
    assert "nodes" not in site(tmp_path, TWO_TASKS).set_resources()["fit"]


def test_numbers_are_names(tmp_path):
    """A project or a partition may be called 4711."""
    found = site(tmp_path, "account: 4711\npartitions: {gpu: 2080}\n")
    assert found.default_resources()["slurm_account"] == "'4711'"
    assert found.set_resources()["fit"]["slurm_partition"] == "'2080'"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--qos=long", "`--qos`"),
        ("--exclude=n7 --constraint avx512", "`--constraint`"),
        ("-C avx512", "`-C`"),
        ("--time=10", "`--time`"),
        ("--mem=10G", "`--mem`"),
        ("--nodes=2", "`--nodes`"),
        ("--gres=gpu:1", "`--gres`"),
        ("--gpus=1", "`--gpus`"),
        ("--account=x", "`--account`"),
        ("--partition=x", "`--partition`"),
    ],
)
def test_options_that_the_executor_sets_are_refused(tmp_path, options, named):
    """It would refuse them itself, with the run under way and for ever waiting."""
    with pytest.raises(ConfigError, match=r"site\.yaml: sbatch_options: ") as caught:
        site(tmp_path, f"sbatch_options: {options}\n")
    assert named in str(caught.value)


def test_rules_of_a_group_do_not_differ(tmp_path, repository):
    shipped = shipped_by(repository)
    path = tmp_path / "site.yaml"
    for key in ("partition", "account", "qos", "constraint"):
        path.write_text(f"rules: {{score: {{{key}: x}}}}\n")
        with pytest.raises(ConfigError, match=f"fit_map and rules.score go as one.*{key} differs"):
            cluster.read_site(shipped, path)
        path.write_text(f"rules: {{score: {{{key}: x}}, fit_map: {{{key}: x}}}}\n")
        cluster.read_site(shipped, path)
        path.write_text(f"rules: {{score: {{{key}: x, group: null}}}}\n")
        cluster.read_site(shipped, path)
    path.write_text("partitions: {gpu: cpu}\ngpu_type: a100\nrules: {score: {gpus: 1}}\n")
    with pytest.raises(ConfigError, match="gpus differs"):
        cluster.read_site(shipped, path)


def test_an_empty_file_changes_nothing(tmp_path):
    assert site(tmp_path, "# all as shipped\n") == cluster.read_site(SHIPPED)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partition: {gpu: x}\n", "partition: unknown key; did you mean `partitions`?"),
        ("rules: {fits: {mem_mb: 1}}\n", "rules.fits: no rule is called so; there are fit, score"),
        ("rules: {fit: {memory: 1}}\n", "rules.fit.memory: unknown key; known here: account, "),
        ("rules: {fit: {mem_bm: 1}}\n", "rules.fit.mem_bm: unknown key; did you mean `mem_mb`?"),
        ("gpu_type: a100:2\n", "gpu_type: letters, digits"),
        ("gpu_type: a100-sxm\n", "gpu_type: letters, digits"),
        ("account: true\n", "account: Input should be a valid string"),
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


@pytest.mark.parametrize("example", ["the file", "the document"])
def test_the_examples_are_sites(example, repository, tmp_path):
    """By our check and by the executor's own."""
    if example == "the file":
        path = repository / "workflow" / "profiles" / "slurm" / "site.example.yaml"
    else:
        path = tmp_path / "site.yaml"
        text = (repository / "docs" / "cluster.md").read_text()
        path.write_text(re.search(r"```yaml\n(partitions:.*?)```", text, re.S)[1])
    found = cluster.read_site(shipped_by(repository), path)
    extra = found.default_resources()["slurm_extra"].strip("'")
    validate_slurm_extra(SimpleNamespace(resources=SimpleNamespace(slurm_extra=extra)))
    with pytest.raises(WorkflowError):
        validate_slurm_extra(SimpleNamespace(resources=SimpleNamespace(slurm_extra="--qos=long")))


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
