"""Rays on disk: read as they were made, made anew when damaged."""

import logging

import numpy as np
import pytest
import scipy.sparse as sp

from dust3d.errors import StorageError
from dust3d.io.ray_store import RayStore

KEY = "0123456789abcdef0123"


def rows(seed=0):
    generator = np.random.default_rng(seed)
    dense = [generator.standard_normal((n, 50)) for n in (4, 7)]
    return [sp.csr_array(np.where(d > 0.8, d, 0).astype(np.float32)) for d in dense]


class Maker:
    """Counts how often rows are made."""

    def __init__(self, seed=0):
        self.calls, self.seed = 0, seed

    def __call__(self):
        self.calls += 1
        return rows(self.seed)


def same(found, expected):
    return len(found) == len(expected) and all(
        (a != b).nnz == 0 and a.dtype == b.dtype and a.indices.dtype == b.indices.dtype
        for a, b in zip(found, expected, strict=True)
    )


def test_rows_are_made_once(tmp_path):
    make = Maker()
    for _ in range(3):
        assert same(RayStore(tmp_path / "rays", KEY).blocks(5, make), rows())
    assert make.calls == 1
    assert [p.name for p in (tmp_path / "rays").iterdir()] == ["0123456789abcdef-000005.h5"]


def test_batches_and_keys_do_not_mix(tmp_path):
    store, other = RayStore(tmp_path, KEY), RayStore(tmp_path, "f" * 20)
    store.blocks(0, Maker(0))
    assert same(store.blocks(1, Maker(10)), rows(10))
    assert same(other.blocks(0, Maker(20)), rows(20))
    assert same(store.blocks(0, Maker(30)), rows(0))
    # the file's own key counts, not its name
    twin = RayStore(tmp_path, KEY[:16] + "zzzz")
    assert same(twin.blocks(0, Maker(40)), rows(40))


@pytest.mark.parametrize("damage", ["cut", "flipped", "text"])
def test_what_is_damaged_is_made_anew_with_a_warning(tmp_path, damage, caplog):
    store = RayStore(tmp_path, KEY)
    store.blocks(0, Maker())
    content = bytearray(store.path(0).read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        # in the middle of the weights themselves
        at = content.find(rows()[1].data.tobytes())
        assert at > 0
        content[at + 8] ^= 0x40
    else:
        content = bytearray(b"not HDF5")
    store.path(0).write_bytes(content)
    make = Maker()
    with caplog.at_level(logging.WARNING):
        assert same(store.blocks(0, make), rows())
    assert make.calls == 1
    assert "rays are made anew" in caplog.text
    assert same(store.blocks(0, make), rows())
    assert make.calls == 1


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((StorageError, OSError)):
        RayStore(tmp_path / "file" / "rays", KEY).blocks(0, Maker())
    assert (tmp_path / "file").read_text() == "in the way"
