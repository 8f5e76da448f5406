"""The profile for Slurm as Snakemake reads it: what each rule asks for, with a GPU or without."""

import re
import shutil

import pytest
from snakemake.profiles import ProfileConfigFileParser

from dust3d import runtime
from dust3d.provenance import versions


@pytest.fixture
def profile(repository, tmp_path, monkeypatch):
    """Reads the profile from a working directory in which a site's file may lie."""
    # else a developer's own site.yaml would be found beside the source
    monkeypatch.setattr("dust3d.cluster.__file__", str(tmp_path / "a" / "b" / "c.py"))
    monkeypatch.chdir(tmp_path)

    def read(site=None):
        if site is not None:
            (tmp_path / "slurm").mkdir()
            (tmp_path / "slurm" / "site.yaml").write_text(site)
        with open(repository / "workflow" / "profiles" / "slurm" / "config.yaml") as stream:
            return ProfileConfigFileParser().parse(stream)

    return read


def asked(profile):
    """Rule -> resources at the first attempt."""
    found = {}
    for row in profile["set-resources"]:
        rule, name, value = re.fullmatch(r"(\w+):(\w+)=(.*)", row).groups()
        found.setdefault(rule, {})[name] = eval(value, {"attempt": 1})
    return found


def rules_of(repository):
    texts = [p.read_text() for p in (repository / "workflow" / "rules").glob("*.smk")]
    return {name for text in texts for name in re.findall(r"^\s*rule (\w+):", text, re.M)}


def test_it_is_where_the_command_looks(repository):
    assert (repository / "slurm").resolve() == repository / "workflow" / "profiles" / "slurm"
    default = (repository / "workflow" / "profiles" / "default" / "config.yaml").read_text()
    assert "\ndefault-resources" not in default


def test_every_rule_has_its_line_and_no_other(profile, repository):
    assert set(asked(profile())) == rules_of(repository)


def test_the_demo_asks_for_little(profile):
    for rule, ask in asked(profile()).items():
        assert ask["cpus_per_task"] <= 2, rule
        assert ask["mem_mb"] <= 8000, rule
        assert 0 < ask["runtime"] <= 240, rule


def test_fits_and_their_samples_alone_ask_for_a_gpu(profile):
    for rule, ask in asked(profile()).items():
        with_gpu = rule in ("fit", "posterior")
        assert ask["gpu"] == with_gpu
        assert ask["slurm_partition"] == ("gpu" if with_gpu else "cpu")


def test_as_shipped_there_is_no_account(profile):
    text = str(dict(profile()))
    assert "account" not in text
    assert "gpu_model" not in text


def test_a_site_has_its_own(profile):
    found = profile("partitions: {cpu: std, gpu: '2080'}\naccount: '4711'\nrules: {fit: {cpus: 8}}")
    assert asked(found)["fit"]["slurm_partition"] == "2080"
    assert asked(found)["fit"]["cpus_per_task"] == 8
    assert "slurm_account='4711'" in found["default-resources"]
    assert "slurm_partition='std'" in found["default-resources"]


def test_a_mistake_of_the_site_is_one_sentence(profile):
    with pytest.raises(SystemExit, match=r"site\.yaml: rules\.fitt: no rule is called so"):
        profile("rules: {fitt: {cpus: 8}}")


def test_without_slurm_the_run_says_so_and_leaves_no_lock(finished, monkeypatch, tmp_path):
    """On a path that has what Snakemake needs and no Slurm."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("bash", "sh", "which", "env", "git", "uname"):
        if found := shutil.which(tool):
            (folder / tool).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))
    slurm = finished.folder / "slurm"
    if not slurm.is_symlink():
        slurm.symlink_to("workflow/profiles/slurm")
    config = finished.config | {"run": "elsewhere"}
    planned = finished.run_config(config, "--profile", "slurm", "-n")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    for _ in range(2):
        done = finished.run_config(config, "--profile", "slurm")
        assert done.returncode == 1
        assert "dust3d: `sbatch` is not found: `--profile slurm` needs" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (finished.folder / "results" / "elsewhere").exists()


def test_a_fit_gets_the_cpus_that_a_site_names(finished):
    """And groups are built beside it."""
    slurm = finished.folder / "slurm"
    if not slurm.is_symlink():
        slurm.symlink_to("workflow/profiles/slurm")
    own = slurm / "site.yaml"
    own.write_text("rules: {fit: {cpus: 8}}\n")
    try:
        config = finished.config | {"run": "large"}
        done = finished.run_config(config, "--profile", "slurm", "-n")
    finally:
        own.unlink()
    assert done.returncode == 0, done.stdout + done.stderr
    fits = re.findall(r"^rule fit:\n(?: .*\n)+", done.stdout, re.M)
    assert fits
    assert all("cpus_per_task=8" in text for text in fits)
    assert "Group job maps" in done.stdout


def test_the_first_job_comes_before_all_others(finished):
    text = finished.run_config(finished.config | {"run": "anew"}, "-n").stdout
    first = re.search(r"^rule (\w+):", text, re.M)
    assert first[1] == "environment"


def test_another_version_looks_at_the_environment_and_at_nothing_else(finished):
    rule = finished.folder / "workflow" / "rules" / "environment.smk"
    text = rule.read_text()
    rule.write_text(text.replace("dumps(versions())", "dumps(versions() | {'jax': '0.0.1'})"))
    try:
        assert finished.jobs() == {"environment": {""}}
    finally:
        rule.write_text(text)


def test_a_job_on_a_node_hears_of_the_versions_where_the_run_was_started(finished, monkeypatch):
    """It reads the workflow anew, where other versions may be installed."""
    script = finished.folder / "workflow" / "scripts" / "environment.py"
    text = script.read_text()
    script.write_text(text + 'print("expected:", snakemake.params.expected)\n')
    config = finished.config | {"run": "versions"}
    path = "results/versions/logs/environment.json"
    remote = ("--mode", "remote", "--nolock", "--force", "--target-jobs", "environment:", "--")
    try:
        monkeypatch.setenv(runtime.HOST_VERSIONS, '{"jax": "0.0.1"}')
        node = finished.run_config(config, *remote, path)
        host = finished.run_config(config, "--force", "--", path)
        monkeypatch.delenv(runtime.HOST_VERSIONS)
        alone = finished.run_config(config, *remote, path)
    finally:
        script.write_text(text)
        shutil.rmtree(finished.folder / "results" / "versions", ignore_errors=True)
    assert "expected: {'jax': '0.0.1'}" in node.stdout + node.stderr
    assert f"expected: {versions()}" in host.stdout + host.stderr
    assert alone.returncode == 1
    assert "did not come to this job" in alone.stderr


def test_a_first_job_that_fails_is_made_again_and_nothing_else(finished):
    """One of its files stays: were it gone, all jobs after it would run again."""
    script = finished.folder / "workflow" / "scripts" / "environment.py"
    rule = finished.folder / "workflow" / "rules" / "environment.smk"
    texts = rule.read_text(), script.read_text()
    try:
        script.write_text("raise SystemExit(1)")
        rule.write_text(texts[0].replace("dumps(versions())", "dumps({'jax': '0.0.1'})"))
        assert finished.run_config(finished.config).returncode != 0
        assert finished.jobs() == {"environment": {""}}
    finally:
        rule.write_text(texts[0])
        script.write_text(texts[1])
    assert finished.jobs() == {"environment": {""}}
    assert finished.run_config(finished.config).returncode == 0
    assert finished.jobs() == {}


def test_whether_the_cpu_will_do_reruns_nothing(finished):
    assert finished.jobs({"allow_cpu": False}) == {}
    assert finished.jobs({"allow_cpu": True}) == {}
