"""Fits in processes of their own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.stages.test_fit import fit_settings, table

ADAM = {"kind": "adam", "epochs": 3, "batch": 70}
NEWTON = {"method": "iterative", "tolerance": 1e-6, "max_steps": 12}
RAYS = {"production": {"oversampling": 3, "max_error_sigma": 100}}


@dataclass(frozen=True)
class Child:
    """How a child is started, and where its files go."""

    folder: Path
    log: Path
    ready: Path
    filler: Path
    process: subprocess.Popen

    def ended(self):
        """Exit code and what stood on the terminal."""
        try:
            _, errors = self.process.communicate(timeout=180)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return self.process.returncode, errors

    def logged(self):
        return self.log.read_text()


@pytest.fixture(scope="session")
def begin(tmp_path_factory, repository):
    """Starts a fit in a folder, with a harm."""
    stars = tmp_path_factory.mktemp("stars")
    tables = {
        "train": table(stars / "train.h5", 200, 0, 2),
        "heldout": table(stars / "heldout.h5", 40, 1, 2),
    }

    def start(folder, *harm, log=None, optimiser=None):
        beside = tmp_path_factory.mktemp("beside")
        optimiser = {"method": ADAM, "newton": NEWTON} | (optimiser or {})
        arguments = {
            "fit": {
                "name": "fourier-2x2",
                **{name: str(path) for name, path in tables.items()},
                "start": None,
                "folder": str(folder),
                "settings": fit_settings(rays=RAYS, optimiser=optimiser),
                "seed": 1,
                "source": "digest",
            },
            "harm": list(harm),
            "log": str(log or beside / "log"),
            "ready": str(beside / "ready"),
            "filler": str(folder / "filler"),
        }
        path = beside / "arguments.json"
        path.write_text(json.dumps(arguments))
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.child", str(path)],
            cwd=repository,
            env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(repository / ".jax_cache")},
            stderr=subprocess.PIPE,
            text=True,
        )
        named = (Path(arguments[key]) for key in ("log", "ready", "filler"))
        return Child(folder, *named, process)

    return start


@pytest.fixture(scope="session")
def whole(begin, tmp_path_factory):
    """A fit that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    code, errors = begin(folder).ended()
    assert (code, errors) == (0, "")
    return folder
