"""A Slurm for these tests, and copies of the project whose user works on it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.slurm import Cluster, install, lacking, wait_for

# far more than is needed, for a machine that has much else to do
DEADLINE_S = 900.0
COMMAND = ("--cores", "all", "--profile", "slurm")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Slurm of three nodes, all idle."""
    if reason := lacking():
        pytest.skip(reason)
    install()
    # the path of a socket may have about a hundred characters
    folder = Path(tempfile.mkdtemp(prefix="dust3d-slurm-", dir="/tmp"))
    running = Cluster(folder / "slurm")
    try:
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder)


class Checkout:
    """A copy of the project, and its user on the cluster.

    Parameters
    ----------
    folder
        Where the copy goes.
    repository
        The project.
    cluster
        The cluster.
    config
        The configuration that stands in the place of the demo.
    """

    def __init__(
        self, folder: Path, repository: Path, cluster: Cluster, config: dict[str, Any]
    ) -> None:
        self.folder, self.cluster = folder, cluster
        self._cache = repository / ".jax_cache"
        self.started: list[subprocess.Popen] = []
        folder.mkdir(parents=True)
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "site.yaml")
        for name in ("src", "workflow", "config"):
            shutil.copytree(repository / name, folder / name, ignore=ignored)
        (folder / "slurm").symlink_to("workflow/profiles/slurm")
        (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config))
        self.results = folder / "results" / config["run"]

    def copy(self, folder: Path) -> "Checkout":
        """The same with all that it has made, elsewhere."""
        other = object.__new__(Checkout)
        other.__dict__ |= self.__dict__
        shutil.copytree(self.folder, folder, symlinks=True)
        other.folder, other.results = folder, folder / self.results.relative_to(self.folder)
        return other

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen:
        """Start Snakemake in a session of its own; its output goes to `snakemake.out`."""
        environment = self.cluster.environment
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        environment["PYTHONPATH"] = str(self.folder / "src")
        environment["JAX_COMPILATION_CACHE_DIR"] = str(self._cache)
        with open(self.folder / "snakemake.out", "a") as output:
            run = subprocess.Popen(
                ["snakemake", *arguments],
                cwd=self.folder,
                env=environment | variables,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(run)
        return run

    @property
    def output(self) -> str:
        """What Snakemake has said so far."""
        return (self.folder / "snakemake.out").read_text()

    def run(self, *arguments: str, **variables: str) -> int:
        """Run Snakemake to its end; its exit status."""
        return self.start(*arguments, **variables).wait(DEADLINE_S)

    def finish(self, started: subprocess.Popen, deadline_s: float = DEADLINE_S) -> None:
        """Wait for a run that must succeed."""
        assert started.wait(deadline_s) == 0, self.output[-6000:]

    def wait_for_file(self, path: Path, deadline_s: float = DEADLINE_S) -> None:
        """Wait until a file is there."""
        wait_for(str(path), lambda: path.exists() or self.started[-1].poll(), deadline_s)
        assert path.exists(), self.output[-6000:]


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory, repository: Path, cluster: Cluster):
    """Makes a copy of the project with a configuration; what still runs in the end is ended."""
    made: list[Checkout] = []

    def make(config: dict[str, Any]) -> Checkout:
        folder = tmp_path_factory.mktemp("checkout") / "project"
        made.append(Checkout(folder, repository, cluster, config))
        return made[-1]

    yield make
    # copies share the list of their original
    for run in (run for each in made for run in each.started if run.poll() is None):
        run.kill()
        run.wait()


@pytest.fixture(scope="session")
def small(repository: Path) -> dict[str, Any]:
    """The smallest complete run."""
    return yaml.safe_load((repository / "config" / "test.yaml").read_text())
