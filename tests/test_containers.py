"""The container recipes install what the checks run with. No engine runs here: they are read."""

import fnmatch
import re
import shlex
import subprocess
import tomllib

import pytest
from packaging.specifiers import SpecifierSet


def _lines(text):
    """Instructions, continued lines joined, without comments."""
    kept = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [line for line in "\n".join(kept).replace("\\\n", " ").splitlines() if line.strip()]


@pytest.fixture(scope="module")
def recipes(repository):
    """Both recipes, as instructions."""
    return {
        name: _lines((repository / name).read_text()) for name in ("Dockerfile", "apptainer.def")
    }


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


def bases(recipes):
    """The images that the recipes start from."""
    docker = [line.split()[1] for line in recipes["Dockerfile"] if line.startswith("FROM ")]
    apptainer = [line.split()[1] for line in recipes["apptainer.def"] if line.startswith("From:")]
    return docker + apptainer


def copied(recipes):
    """What each recipe puts into the image, by its place in the project."""
    docker, apptainer, inside = [], [], False
    for line in recipes["Dockerfile"]:
        if line.startswith("COPY "):
            docker += line.split()[1:-1]
    for line in recipes["apptainer.def"]:
        inside = line.strip() == "%files" if line.startswith("%") else inside
        if inside and not line.startswith("%"):
            source, place = line.split()
            assert place == f"/dust3d/{source}"
            apptainer.append(source)
    return {"Dockerfile": docker, "apptainer.def": apptainer}


def installations(lines):
    """Every call of pip that installs: the variables before it, and its arguments."""
    found = []
    for line in lines:
        for command in re.split(r"&&|;", line.removeprefix("RUN ")):
            words = shlex.split(command)
            if "pip" in words and "install" in words:
                variables = dict(w.split("=", 1) for w in words if re.match(r"PIP_\w+=", w))
                found.append((variables, words[words.index("install") + 1 :]))
    return found


def test_both_start_from_one_python_that_the_project_allows(recipes, project):
    first, second = bases(recipes)
    assert first == second
    version = re.fullmatch(r"python:(\d+\.\d+)-slim", first)[1]
    assert SpecifierSet(project["requires-python"]).contains(version)


def test_the_pins_are_for_that_python(recipes, repository):
    header = (repository / "constraints.txt").read_text().splitlines()[0]
    low, high = re.search(r"Python (\d\.\d+) to (\d\.\d+)", header).groups()
    version = re.search(r"\d+\.\d+", bases(recipes)[0])[0]
    assert SpecifierSet(f">={low},<={high}").contains(version)


@pytest.mark.parametrize("name", ["Dockerfile", "apptainer.def"])
def test_they_install_by_the_pins_as_make_does(recipes, repository, name):
    (variables, arguments) = installations(recipes[name])[0]
    assert len(installations(recipes[name])) == 1
    # what .ci/venv, which `make` calls, sets for its own installation
    made = (repository / ".ci" / "venv").read_text()
    named = dict(re.findall(r"(PIP_\w*CONSTRAINT)=(\S+)", made))
    assert variables == named == dict.fromkeys(named, "constraints.txt")
    assert arguments[0] == "--editable"
    assert re.fullmatch(r"\.(\$\{EXTRAS\}|\{\{ EXTRAS \}\})", arguments[1])
    assert ".ci/venv" in (repository / "Makefile").read_text()


@pytest.mark.parametrize("name", ["Dockerfile", "apptainer.def"])
def test_no_version_stands_beside_the_pins(recipes, name):
    assert not [line for line in recipes[name] if re.search(r"[A-Za-z_-]+(==|>=|~=)\d", line)]


def test_both_hold_what_an_installation_and_a_run_need(recipes, repository, project):
    found = copied(recipes)
    assert set(found["Dockerfile"]) == set(found["apptainer.def"])
    needed = {"constraints.txt", "pyproject.toml", "src", "config", "workflow"}
    needed |= {project["readme"], *project["license-files"]}
    assert needed == set(found["Dockerfile"])
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for source in found["Dockerfile"]:
        assert any(t == source or t.startswith(f"{source}/") for t in tracked), source


def test_the_pins_come_before_the_installation(recipes):
    lines = recipes["Dockerfile"]
    place = {
        what: next(i for i, line in enumerate(lines) if what in line)
        for what in ("COPY constraints.txt", "COPY src", "pip install")
    }
    assert place["COPY constraints.txt"] < place["COPY src"] < place["pip install"]


def test_nothing_else_goes_to_the_engine(recipes, repository):
    rules = (repository / ".dockerignore").read_text().splitlines()
    rules = [rule for rule in rules if rule and not rule.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    assert allowed == set(copied(recipes)["Dockerfile"])
    assert not any(fnmatch.fnmatch(".git/config", rule) for rule in allowed)


def test_the_user_is_not_root_and_folders_are_mounted(recipes):
    lines = recipes["Dockerfile"]
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users
    assert users[-1] not in ("root", "0")
    assert 'VOLUME ["/dust3d/data", "/dust3d/results"]' in lines


def test_a_run_without_arguments_is_the_demo(recipes):
    assert recipes["Dockerfile"][-1] == 'CMD ["snakemake", "--cores", "all"]'
    assert any(line.strip() == "set -- snakemake --cores all" for line in recipes["apptainer.def"])


def test_they_say_that_no_engine_runs_in_the_checks(repository):
    for name in ("Dockerfile", "apptainer.def", "README.md"):
        text = " ".join((repository / name).read_text().replace("#", " ").split())
        assert "No container engine runs in CI" in text, name


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("RUN PIP_CONSTRAINT=constraints.txt python -m pip install --editable .", 1),
        ("RUN pip install numpy && pip install scipy", 2),
        ("RUN python -m pip --version", 0),
    ],
)
def test_calls_of_pip_are_found(line, number):
    assert len(installations([line])) == number
