import errno
import json
import os
import socket
import subprocess
import sys
import time

import pytest

from dust3d import claims
from dust3d.errors import StorageError
from dust3d.files import atomic_path, remove, scratch_folder, unsealed, write_json


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    target = tmp_path / "new" / "map.h5"
    with atomic_path(target) as aside:
        aside.write_text("whole")
        assert not target.exists()
        assert aside.parent == target.parent
        assert aside.suffix == target.suffix
    assert target.read_text() == "whole"
    assert os.listdir(target.parent) == ["map.h5"]


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path, interruption):
    target = tmp_path / "map.h5"
    target.write_text("old")
    with pytest.raises(interruption), atomic_path(target) as aside:
        aside.write_text("half")
        raise interruption
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["map.h5"]


def test_folders_are_replaced_whole(tmp_path):
    target = tmp_path / "map.zarr"
    for content in ("first", "second"):
        with atomic_path(target) as aside:
            aside.mkdir()
            (aside / content).write_text(content)
    assert os.listdir(target) == ["second"]
    assert os.listdir(tmp_path) == ["map.zarr"]


def _full_disk(aside):
    aside.write_text("half")
    raise OSError(errno.ENOSPC, "No space left on device")


def _full_disk_as_h5py_says_it(aside):
    raise OSError("Can't write data (errno = 28, error message = 'No space left on device')")


@pytest.mark.parametrize("write", [_full_disk, _full_disk_as_h5py_says_it])
def test_a_full_disk_is_named_with_its_remedy(tmp_path, write):
    with pytest.raises(StorageError, match=r"map\.h5: cannot be written.*Make room"):
        with atomic_path(tmp_path / "map.h5") as aside:
            write(aside)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_in_earnest(tmp_path):
    # /dev/full fails on every write as a full disk does
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    with pytest.raises(StorageError, match="No space left"):
        with atomic_path(tmp_path / "map.h5"), open("/dev/full", "w") as full:
            full.write("x" * 100_000)


def test_other_errors_of_the_system_pass_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.txt"):
        open(tmp_path / "missing.txt")


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "fits").write_text("a file, not a folder")
    with pytest.raises(OSError, match="fits"), atomic_path(tmp_path / "fits" / "a.h5"):
        pass


def test_json_is_sorted_and_refuses_nan(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [1.5]})
    assert (tmp_path / "a.json").read_text().index('"a"') < 8
    content = json.loads((tmp_path / "a.json").read_text())
    assert unsealed(content) == {"a": [1.5], "b": 1}
    with pytest.raises(ValueError, match="checksum"):
        unsealed(content | {"b": 2})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "b.json", {"x": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_remove_takes_files_folders_and_nothing(tmp_path):
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for name in ("link", "missing", "folder"):
        remove(tmp_path / name)
    assert os.listdir(tmp_path) == []


def killed(code, folder):
    """Run code in a process that kills itself."""
    lines = [
        "import os, sys",
        "from pathlib import Path",
        "from dust3d.files import atomic_path, scratch_folder",
        "folder = Path(sys.argv[1])",
        code,
        "    os.kill(os.getpid(), 9)",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines), str(folder)])
    assert done.returncode == -9


def test_what_a_killed_process_left_goes_with_the_next_one(tmp_path):
    killed("with atomic_path(folder / 'a.h5') as aside:\n    aside.write_text('half')", tmp_path)
    killed("with atomic_path(folder / 'a.zarr') as aside:\n    aside.mkdir()", tmp_path)
    killed("with scratch_folder(folder, 'try') as own:\n    (own / 'b').touch()", tmp_path)
    assert len(os.listdir(tmp_path)) == 6
    with atomic_path(tmp_path / "a.h5") as aside:
        aside.write_text("whole")
    assert len(os.listdir(tmp_path)) == 5
    with atomic_path(tmp_path / "a.zarr") as aside:
        aside.mkdir()
    with scratch_folder(tmp_path, "try") as own:
        assert os.listdir(own) == []
    assert sorted(os.listdir(tmp_path)) == ["a.h5", "a.zarr"]


def test_what_a_living_process_writes_stays(tmp_path):
    with atomic_path(tmp_path / "a.h5") as first, scratch_folder(tmp_path, "a.h5") as folder:
        first.write_text("first")
        with atomic_path(tmp_path / "a.h5") as second, scratch_folder(tmp_path, "a.h5"):
            second.write_text("second")
        assert first.exists()
        assert folder.exists()
    assert (tmp_path / "a.h5").read_text() == "first"
    assert os.listdir(tmp_path) == ["a.h5"]


@pytest.mark.parametrize(("days", "stays"), [(6, True), (8, False)])
def test_what_another_machine_writes_stays_for_a_week(tmp_path, monkeypatch, days, stays):
    """As on file systems whose locks hold on one machine only."""
    with monkeypatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: "node7.cluster")
        killed_there(tmp_path)
    then = time.time() - days * 24 * 3600
    left = {path.name for path in tmp_path.iterdir()}
    assert len(left) == 2
    for name in left:
        assert name.startswith(".a.h5.node7-cluster.")
        os.utime(tmp_path / name, (then, then))
    with atomic_path(tmp_path / "a.h5") as aside:
        aside.write_text("whole")
    assert set(os.listdir(tmp_path)) == {"a.h5"} | (left if stays else set())


def killed_there(folder):
    """Leave what a process leaves that is killed, without a lock that is seen from here."""
    mark, path, file = claims._marked(folder, "a.h5")
    assert file is not None
    file.close()
    (path.parent / f"{mark}.part.h5").write_text("half")


def test_a_longer_name_is_another_one(tmp_path):
    killed("with atomic_path(folder / 'a.h5') as aside:\n    aside.write_text('half')", tmp_path)
    left = os.listdir(tmp_path)
    with atomic_path(tmp_path / "a") as aside:
        aside.write_text("whole")
    assert sorted(os.listdir(tmp_path)) == sorted([*left, "a"])


def test_what_stood_there_before_can_be_kept(tmp_path):
    path, before = tmp_path / "a", tmp_path / "before"
    for content in ("1", "2", "3"):
        with atomic_path(path, keep=before) as aside:
            aside.write_text(content)
    assert (path.read_text(), before.read_text()) == ("3", "2")
    with pytest.raises(ValueError, match="half"), atomic_path(path, keep=before):
        raise ValueError("half")
    assert (path.read_text(), before.read_text()) == ("3", "2")


def test_a_scratch_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        with scratch_folder(tmp_path / "file" / "inner", "try"):
            pass
