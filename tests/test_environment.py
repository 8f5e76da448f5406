"""The lists of packages agree, and name nothing of one machine; `make` finds its Python."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# conda calls some packages by another name
CONDA_NAMES = {"matplotlib-base": "matplotlib", "snakemake-minimal": "snakemake"}


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def direct(project):
    rows = project["dependencies"] + project["optional-dependencies"]["test"]
    return {canonicalize_name(r.name): r for r in map(Requirement, rows)}


@pytest.fixture(scope="module")
def pins(repository):
    lines = (repository / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_conda_gets_the_same_dependencies(repository, direct, project):
    listed = yaml.safe_load((repository / "environment.yml").read_text())["dependencies"]
    conda = {}
    for row in map(Requirement, listed):
        conda[CONDA_NAMES.get(row.name, row.name)] = row.specifier
    assert conda.pop("python") == project["requires-python"]
    assert {name: str(spec) for name, spec in conda.items()} == {
        name: str(row.specifier) for name, row in direct.items()
    }


def test_the_gpu_build_of_jax_is_an_option_of_both(repository, project):
    assert "cuda" in project["optional-dependencies"]
    assert re.search(r"# - jaxlib=.*cuda", (repository / "environment.yml").read_text())


def test_every_pin_is_exact_and_names_no_place(pins):
    for line in pins:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+", line), line
    names = [canonicalize_name(line.partition("==")[0]) for line in pins]
    assert len(set(names)) == len(names)


def _closure(direct):
    """Every package that the direct ones need, on any of our Pythons."""
    needed, todo = set(), [(name, tuple(r.extras)) for name, r in direct.items()]
    while todo:
        name, extras = todo.pop()
        if name in needed:
            continue
        needed.add(name)
        for row in map(Requirement, metadata.requires(name) or []):
            versions = ("3.11", "3.12", "3.13")
            environments = [
                {"python_version": v, "python_full_version": f"{v}.0", "extra": e}
                for v in versions
                for e in ("", *extras)
            ]
            if row.marker is None or any(row.marker.evaluate(e) for e in environments):
                todo.append((canonicalize_name(row.name), tuple(row.extras)))
    return needed


def test_the_pins_are_the_whole_closure(direct, pins):
    pinned = {canonicalize_name(line.partition("==")[0]) for line in pins}
    assert pinned - {"setuptools"} == _closure(direct)


def test_the_pins_are_what_is_installed_here(pins):
    different = {}
    for line in pins:
        name, _, version = line.partition("==")
        if name != "setuptools" and metadata.version(name) != version:
            different[name] = (version, metadata.version(name))
    assert different == {}


def test_direct_dependencies_allow_their_pins(direct, pins):
    pinned = {canonicalize_name(p.partition("==")[0]): p.partition("==")[2] for p in pins}
    for name, row in direct.items():
        assert row.specifier.contains(pinned[name]), name


def test_no_gpl_package_is_needed(pins):
    names = {canonicalize_name(line.partition("==")[0]) for line in pins}
    assert not names & {"healpy", "dustmaps", "nifty", "nifty8", "nifty-re"}


def test_no_file_names_a_place_of_one_machine(repository):
    place = re.compile(r"(?<![\w.])/(root|home|work|opt|Users|mnt)/\w")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert listed
    found = []
    for name in listed:
        path = repository / name
        if path.is_file() and path.suffix in {
            ".py",
            ".toml",
            ".txt",
            ".yml",
            ".yaml",
            ".md",
            ".smk",
        }:
            found += [f"{name}: {m[0]}" for m in place.finditer(path.read_text())]
    assert found == []


@pytest.fixture
def bare_clone(tmp_path, repository):
    """What installation needs, and a PATH with nothing but the system's small tools."""
    clone = tmp_path / "clone"
    (clone / ".ci").mkdir(parents=True)
    for name in (".ci/venv", "pyproject.toml", "constraints.txt"):
        shutil.copy(repository / name, clone / name)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "cat", "dirname", "find", "grep", "rm", "mkdir", "chmod"):
        (tools / name).symlink_to(shutil.which(name))
    return clone, tools


def _program(path, text):
    path.write_text(f"#!{shutil.which('sh')}\n{text}\n")
    path.chmod(0o755)


# stands for a Python: runs one-liners, makes a virtual environment of itself, "installs"
PYTHON = """\
case "$1" in
    -c)
        case "$2" in *numpy*) [ -f damaged ] && exit 1 ;; esac
        exit {usable}
        ;;
    --version) echo "Python {version}"; exit 0 ;;
esac
case "$2" in
    venv)
        mkdir -p "$3/bin"
        cat "$0" >"$3/bin/python"
        chmod +x "$3/bin/python"
        echo "VIRTUAL_ENV=$PWD/$3" >"$3/bin/activate"
        ;;
    pip)
        [ "$3" = --version ] && exit 0
        echo "$@" >>pip.log
        {install}
        case "$*" in *--force-reinstall*) rm -f damaged ;; esac
        echo 'exit 0' >.venv/bin/dust3d
        chmod +x .venv/bin/dust3d
        ;;
esac
"""


def _python(path, *, version="3.12.1", usable=True, install=":"):
    text = PYTHON.format(version=version, usable=0 if usable else 1, install=install)
    _program(path, text)


def _make_venv(clone, tools, **variables):
    return subprocess.run(
        [shutil.which("sh"), ".ci/venv"],
        cwd=clone,
        env={"PATH": str(tools), **variables},
        capture_output=True,
        text=True,
    )


def test_an_old_python_is_refused_in_a_sentence(bare_clone):
    clone, tools = bare_clone
    _python(tools / "python3", version="3.9.2", usable=False)
    done = _make_venv(clone, tools)
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed (found: Python 3.9.2)" in done.stderr
    assert not (clone / ".venv").exists()


def test_no_python_at_all_is_said(bare_clone):
    done = _make_venv(*bare_clone)
    assert done.returncode == 1
    assert "found: none" in done.stderr


def test_a_named_python_that_does_not_run_is_refused(bare_clone):
    clone, tools = bare_clone
    _python(tools / "python3")
    done = _make_venv(clone, tools, PYTHON="python3.99")
    assert done.returncode == 1
    assert "PYTHON=python3.99 is no Python 3.11" in done.stderr


def test_shims_that_do_not_run_are_passed_over(bare_clone):
    clone, tools = bare_clone
    _program(tools / "python3.13", "echo 'command not found' >&2; exit 127")
    _python(tools / "python3.12")
    done = _make_venv(clone, tools)
    assert done.returncode == 0, done.stderr
    assert "Python 3.12.1" in done.stdout
    assert "--editable .[test]" in (clone / "pip.log").read_text()


def test_a_whole_environment_is_left_alone(bare_clone):
    clone, tools = bare_clone
    _python(tools / "python3")
    assert _make_venv(clone, tools).returncode == 0
    again = _make_venv(clone, tools)
    assert (again.returncode, again.stdout) == (0, "")


def test_new_pins_are_installed_into_it(bare_clone):
    clone, tools = bare_clone
    _python(tools / "python3")
    _make_venv(clone, tools)
    stamp = (clone / ".venv" / ".whole").stat().st_mtime
    os.utime(clone / "constraints.txt", (stamp + 10, stamp + 10))
    assert "installing" in _make_venv(clone, tools).stdout
    assert len((clone / "pip.log").read_text().splitlines()) == 2


def test_an_interrupted_installation_is_said_and_repaired(bare_clone):
    clone, tools = bare_clone
    _python(tools / "python3", install="[ -f network ] || exit 1")
    done = _make_venv(clone, tools)
    assert done.returncode == 1
    assert "run the same command again" in done.stderr
    (clone / "network").touch()
    assert _make_venv(clone, tools).returncode == 0


@pytest.mark.parametrize("damage", ["no python", "no pip", "moved", "no dust3d"])
def test_a_half_made_environment_is_repaired(bare_clone, damage):
    clone, tools = bare_clone
    _python(tools / "python3")
    _make_venv(clone, tools)
    venv = clone / ".venv"
    if damage == "no python":
        (venv / "bin" / "python").unlink()
    elif damage == "no pip":
        _program(venv / "bin" / "python", '[ "$1" = -c ] && exit 0; exit 1')
        (venv / ".whole").unlink()
    elif damage == "moved":
        clone = clone.rename(clone.with_name("elsewhere"))
    else:
        (venv / "bin" / "dust3d").unlink()
    done = _make_venv(clone, tools)
    assert done.returncode == 0, done.stderr
    assert ("made anew" in done.stdout) is (damage != "no dust3d")
    assert _make_venv(clone, tools).stdout == ""


def test_packages_whose_files_are_gone_are_installed_afresh(bare_clone):
    clone, tools = bare_clone
    _python(tools / "python3")
    _make_venv(clone, tools)
    (clone / "damaged").touch()
    done = _make_venv(clone, tools)
    assert done.returncode == 0, done.stderr
    assert "is damaged" in done.stdout
    assert _make_venv(clone, tools).stdout == ""


def test_ci_calls_make_test_with_the_data(tmp_path, repository):
    tools, clone = tmp_path / "tools", tmp_path / "project" / "clone"
    (clone / ".ci").mkdir(parents=True)
    (clone.parent / "shared" / "data").mkdir(parents=True)
    tools.mkdir()
    shutil.copy(repository / ".ci" / "run", clone / ".ci" / "run")
    _program(tools / "make", 'echo "$@ CI=$CI DATA=$DUST3D_DATA"')
    environment = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    for given in ({}, {"DUST3D_DATA": "elsewhere"}):
        done = subprocess.run(
            [clone / ".ci" / "run"], env=environment | given, capture_output=True, text=True
        )
        data = given.get("DUST3D_DATA", str((clone.parent / "shared" / "data").resolve()))
        wanted = [f"{target} CI=true DATA={data}" for target in ("test", "test-slurm")]
        assert done.stdout.splitlines() == wanted


def test_this_python_is_new_enough():
    assert sys.version_info >= (3, 11)


def test_the_version_is_one(repository, project):
    citation = yaml.safe_load((repository / "CITATION.cff").read_text())
    assert str(citation["version"]) == project["version"] == metadata.version("dust3d")
    assert f"## {project['version']}" in (repository / "CHANGELOG.md").read_text()


def test_the_readme_begins_with_the_two_commands(repository):
    text = (repository / "README.md").read_text()
    first = re.search(r"```bash\n(.*?)```", text, re.S)[1]
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (repository / link).exists(), link
