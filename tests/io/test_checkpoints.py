"""Checkpoints are exact to the bit, and of one fit only."""

import errno

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.fields.examples import fourier

from dust3d.errors import ProductError, StorageError
from dust3d.io.checkpoints import (
    previous_path,
    read_checkpoint,
    save_checkpoint,
    stored_paths,
)

TREE = {
    "field": fourier(),
    "momentum": (jnp.asarray([1 / 3, np.nan], jnp.float32), None),
    "step": jnp.asarray(7, jnp.int32),
    "many": [jnp.asarray(float(i)) for i in range(12)],
}
ARRAYS = {"rows": np.arange(6).reshape(2, 3), "history": np.array([0.1, 0.2])}


@pytest.fixture
def path(tmp_path):
    """A checkpoint in a file."""
    save_checkpoint(tmp_path / "checkpoint.h5", TREE, ARRAYS, {"epoch": 3, "complete": False})
    return tmp_path / "checkpoint.h5"


def test_the_state_comes_back_to_the_bit(path):
    found = read_checkpoint(path)
    tree, arrays = found.tree(jax.tree.map(jnp.zeros_like, TREE)), found.arrays
    assert jax.tree.structure(tree) == jax.tree.structure(TREE)
    for back, leaf in zip(jax.tree.leaves(tree), jax.tree.leaves(TREE), strict=True):
        assert back.dtype == leaf.dtype
        assert np.asarray(back).tobytes() == np.asarray(leaf).tobytes()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
    assert found.attrs["epoch"] == 3
    assert found.attrs["complete"] is False


@pytest.mark.parametrize("change", ["shape", "type", "number"])
def test_another_fit_is_refused(path, change):
    like = dict(TREE)
    if change == "shape":
        like["step"] = jnp.zeros(2, jnp.int32)
    elif change == "type":
        like["step"] = jnp.zeros(())
    else:
        like["more"] = jnp.zeros(())
    with pytest.raises(ProductError, match=r"checkpoint\.h5: .* another fit; delete it and run"):
        read_checkpoint(path).tree(like)


def test_damage_is_refused(path):
    whole = path.read_bytes()
    with h5py.File(path, "a") as file:
        del file["leaves/00003"]
    with pytest.raises(ProductError, match="delete it and run again"):
        read_checkpoint(path)
    for length in (50, len(whole) // 2, len(whole) - 200, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ProductError, match=r"checkpoint\.h5: damaged .*run again"):
            read_checkpoint(path)
    for place in np.linspace(0, len(whole) - 1, 50).astype(int):
        content = bytearray(whole)
        content[place] ^= 4
        path.write_bytes(content)
        with pytest.raises(ProductError, match=r"checkpoint\.h5: .*run"):
            read_checkpoint(path)


def test_the_one_before_is_kept(path):
    previous = previous_path(path)
    assert list(stored_paths(path)) == [path]
    for epoch in (4, 5):
        save_checkpoint(path, TREE, ARRAYS, {"epoch": epoch})
        assert [read_checkpoint(p).attrs["epoch"] for p in stored_paths(path)] == [epoch, epoch - 1]
    path.unlink()
    assert list(stored_paths(path)) == [previous]
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.previous.h5"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        # what h5py raises when it closes a file that did not fit
        RuntimeError("Can't decrement id ref count (error message = 'No space left on device'"),
    ],
)
def test_a_full_disk_keeps_the_last_good_one(path, monkeypatch, error):
    def full(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(h5py.Group, "create_group", full)
    with pytest.raises(StorageError, match="Make room"):
        save_checkpoint(path, TREE, ARRAYS, {"epoch": 4})
    monkeypatch.undo()
    assert read_checkpoint(path).attrs["epoch"] == 3
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.h5"]
