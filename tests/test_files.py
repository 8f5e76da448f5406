import errno
import json
import os

import pytest

from dust3d.errors import StorageError
from dust3d.files import atomic_path, remove, write_json


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
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1.5], "b": 1}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "b.json", {"x": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_remove_takes_files_folders_and_nothing(tmp_path):
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for name in ("link", "missing", "folder"):
        remove(tmp_path / name)
    assert os.listdir(tmp_path) == []
