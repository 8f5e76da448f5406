"""Checksums at the end of files: every changed byte is noticed, other programs see nothing."""

import h5py
import numpy as np
import pytest

from dust3d.io.seals import check_seal, seal


@pytest.fixture(params=["earliest", "latest"])
def path(tmp_path, request):
    """A sealed HDF5 file, in the oldest and the newest form."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=request.param) as file:
        file["x"] = np.arange(5)
    seal(path)
    return path


def test_the_seal_is_right_and_hdf5_passes_over_it(path):
    assert check_seal(path)
    with h5py.File(path) as file:
        assert file["x"][3] == 3


def test_every_changed_byte_is_noticed(path):
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 4
        path.write_bytes(changed)
        with pytest.raises(ValueError, match="content"):
            check_seal(path)


def test_every_cut_is_noticed_by_us_or_by_hdf5(path):
    whole = path.read_bytes()
    end = whole.index(b"\ndust3d crc32")
    for length in range(8, len(whole)):
        path.write_bytes(whole[:length])
        if length > end:
            with pytest.raises(ValueError, match="no checksum"):
                check_seal(path)
        elif length == end:
            assert not check_seal(path)
        else:
            with pytest.raises(OSError, match=r"truncated|file"):
                h5py.File(path)


def test_who_changes_a_file_takes_the_seal_off(path):
    with h5py.File(path, "a") as file:
        file["y"] = np.arange(3)
    assert not check_seal(path)


def test_files_larger_than_a_block(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * 10_000)
    assert not check_seal(path)
    seal(path)
    assert check_seal(path)
    with open(path, "r+b") as file:
        file.seek(2_000_000)
        file.write(b"?")
    with pytest.raises(ValueError, match="not what was written"):
        check_seal(path)
