"""A finished run without science: every job has run, its script only making its files."""

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from dust3d.config.run import load

STUB = """\
from pathlib import Path

for path in map(Path, list(snakemake.output) + list(snakemake.log)):
    path.write_text("made")
"""


def snakemake(
    folder: Path, *arguments: str, source: Path | None = None
) -> subprocess.CompletedProcess:
    """Run Snakemake as a user does in a shell; `source` goes before the installed package."""
    environment = dict(os.environ)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    if source is not None:
        environment["PYTHONPATH"] = str(source)
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )


def changed(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A configuration with some keys, written as paths, set to other values."""
    config = yaml.safe_load(yaml.safe_dump(config))
    for path, value in changes.items():
        *parents, last = path.split(".")
        section = config
        for name in parents:
            section = section.setdefault(name, {})
        section[last] = value
    return config


class Project:
    """A copy of the package and the workflow, with the fake run of one configuration."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder
        for name in ("src", "workflow", "config"):
            shutil.copytree(
                repository / name,
                folder / name,
                ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
            )
        for script in (folder / "workflow" / "scripts").glob("*.py"):
            script.write_text(STUB)
        self.config = yaml.safe_load((folder / "config" / "test.yaml").read_text())

    def run(self, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess:
        """Run Snakemake here or from another folder, with the package of this copy."""
        return snakemake(folder or self.folder, *arguments, source=self.folder / "src")

    def run_config(self, config: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess:
        """Run Snakemake with a configuration."""
        path = self.folder / "changed.yaml"
        path.write_text(yaml.safe_dump(config))
        return self.run("--configfile", str(path), *arguments)

    def jobs(self, changes: dict[str, Any] | None = None) -> dict[str, set[str]]:
        """What would run after some keys have changed: rule -> fits, or "" without one."""
        done = self.run_config(changed(self.config, changes or {}), "-n")
        assert done.returncode == 0, done.stdout + done.stderr
        return planned(done.stdout + done.stderr)

    @contextmanager
    def edited(self, name: str, text: str = "\n# edited\n") -> Iterator[None]:
        """Text added to a file of the package, for a while."""
        path = self.folder / "src" / "dust3d" / name
        before = path.read_bytes()
        path.write_bytes(before + text.encode())
        try:
            yield
        finally:
            path.write_bytes(before)


def planned(text: str) -> dict[str, set[str]]:
    """Rules and fits (the first wildcard) of a dry run's text."""
    jobs: dict[str, set[str]] = defaultdict(set)
    for block in re.split(r"^\[.*\]$", text, flags=re.MULTILINE):
        rule = re.search(r"^(?:local)?rule (\w+):$", block, flags=re.MULTILINE)
        if rule and rule[1] != "all":
            wildcard = re.search(r"^    wildcards: \w+=([^\s,]+)", block, flags=re.MULTILINE)
            jobs[rule[1]].add(wildcard[1] if wildcard else "")
    return dict(jobs)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Project:
    """A project whose run of config/test.yaml is finished."""
    project = Project(tmp_path_factory.mktemp("project"), repository)
    done = project.run_config(project.config, "--quiet", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    return project


class Run:
    """A run of the real workflow: made when this is, and where its files are."""

    def __init__(self, folder: Path, repository: Path, config: Path) -> None:
        self.folder, self.config_path = folder, config
        self._snakefile = repository / "workflow" / "Snakefile"
        self.config = load(config)
        self.results = folder / "results" / self.config.run
        folder.mkdir(parents=True, exist_ok=True)
        done = self.snakemake()
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]

    def snakemake(self, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess:
        """Run Snakemake on it once more, or on a copy of it."""
        folder = folder or self.folder
        return snakemake(
            folder,
            *("--directory", str(folder)),
            *("--snakefile", str(self._snakefile), "--configfile", str(self.config_path)),
            *arguments,
        )


@pytest.fixture(scope="session")
def complete_run(repository: Path) -> Callable[[Path, Path], Run]:
    """Makes the run of a configuration in a folder."""
    return lambda folder, config: Run(folder, repository, config)
