"""A disk that is full: one clear sentence, nothing half-written, and the next run goes on."""

import os
import shutil
import subprocess

import pytest
from tests.faults.test_signals import CHECKPOINTS, assert_same, names


@pytest.fixture
def small_disk(tmp_path):
    """A folder with 3 MB of room, unmounted at the end; none where that is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    allowed = mount is not None and os.geteuid() == 0
    if not allowed or subprocess.run(command, capture_output=True).returncode:
        yield None
        return
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def assert_said(child, name):
    """The child ended with one message about a file, and no traceback."""
    code, errors = child.ended()
    assert code == 1
    assert errors.startswith("dust3d: ")
    assert errors.count("\n") == 1, errors
    assert f"{name}: cannot be written (" in errors
    assert "No space left" in errors
    assert "Make room" in errors
    assert "Traceback" not in child.logged()


@pytest.mark.parametrize(
    ("place", "file"),
    [
        (("flush", 4), "checkpoint.h5"),
        (("history", 1), "history.h5"),
        (("field", 1), "field.h5"),
    ],
)
def test_an_error_of_the_disk_is_told_and_the_fit_goes_on(place, file, begin, whole, tmp_path):
    """Injected, for where no small disk can be made."""
    child = begin(tmp_path, *place, "full")
    assert_said(child, file)
    products = {"field.h5": {"history.h5", "fit.json"}}.get(file, set())
    assert names(tmp_path) == CHECKPOINTS | products
    again = begin(tmp_path)
    assert again.ended() == (0, "")
    assert "resumed" in again.logged()
    assert_same(tmp_path, whole)


@pytest.mark.parametrize(
    ("place", "file"), [(("adam", 6), "checkpoint.h5"), (("field", 1), "field.h5")]
)
def test_a_disk_that_is_really_full(place, file, begin, whole, small_disk, tmp_path):
    if small_disk is None:
        # the injected errors above stand for it
        return
    folder = small_disk / "fit"
    folder.mkdir()
    child = begin(folder, *place, "fill")
    assert_said(child, file)
    child.filler.unlink()
    assert names(folder) >= {"checkpoint.h5"}
    assert not any(".part" in name or "scratch" in name for name in names(folder))
    assert begin(folder).ended() == (0, "")
    assert_same(folder, whole)
