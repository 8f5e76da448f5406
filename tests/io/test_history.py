"""Histories of fits."""

import h5py
import numpy as np
import pytest

from dust3d.errors import ProductError, StorageError
from dust3d.io.history import COLUMNS, read_history, write_history

ROWS = [(1.0, 10.0, 0.5, 2.0, 0.1, np.nan), (2.0, 20.0, 1.0, 1.5, 0.3, 0.2)]
SNAPSHOTS = {
    "epoch": np.array([1, 2]),
    "x": np.linspace(-1, 1, 3),
    "y": np.linspace(-1, 1, 4),
    "ln_density": np.arange(24.0).reshape(2, 3, 4),
}


@pytest.fixture
def path(tmp_path):
    """A history in a file."""
    write_history(tmp_path / "history.h5", ROWS, SNAPSHOTS, {"name": "fourier-4x4"})
    return tmp_path / "history.h5"


def test_rows_and_snapshots_come_back(path):
    found = read_history(path)
    for name, column in zip(COLUMNS, zip(*ROWS, strict=True), strict=True):
        np.testing.assert_array_equal(found[name], column)
    for name, array in SNAPSHOTS.items():
        np.testing.assert_array_equal(found[f"snapshots/{name}"], array)
    with h5py.File(path) as file:
        assert file.attrs["name"] == "fourier-4x4"


def test_a_history_without_rows(tmp_path):
    write_history(tmp_path / "history.h5", [], {}, {})
    assert len(read_history(tmp_path / "history.h5")["loss"]) == 0


def test_damage_is_refused(path):
    with h5py.File(path, "a") as file:
        del file["heldout_score"]
    with pytest.raises(ProductError, match=r"history\.h5: the history lacks heldout_score; fit"):
        read_history(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ProductError, match=r"history\.h5: damaged or cut short .*run again"):
        read_history(path)
    with pytest.raises(ProductError, match="no such file"):
        read_history(path.with_name("other.h5"))


def test_another_version_is_refused(path):
    with h5py.File(path, "a") as file:
        file.attrs["format_version"] = 2
    with pytest.raises(ProductError, match=r"history\.h5: .* version 2, .* make it again"):
        read_history(path)


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError("Unable to flush (No space left on device)")

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises(StorageError, match="Make room"):
        write_history(tmp_path / "history.h5", ROWS, SNAPSHOTS, {})
    assert not list(tmp_path.iterdir())
