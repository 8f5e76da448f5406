"""Checkpoints are exact to the bit, and of one fit only."""

import errno

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.fields.examples import fourier

from dust3d.errors import ProductError, StorageError
from dust3d.io.checkpoints import checkpoint_attrs, load_checkpoint, save_checkpoint

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
    tree, arrays = load_checkpoint(path, jax.tree.map(jnp.zeros_like, TREE))
    assert jax.tree.structure(tree) == jax.tree.structure(TREE)
    for found, leaf in zip(jax.tree.leaves(tree), jax.tree.leaves(TREE), strict=True):
        assert found.dtype == leaf.dtype
        assert np.asarray(found).tobytes() == np.asarray(leaf).tobytes()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
    attrs = checkpoint_attrs(path)
    assert attrs["epoch"] == 3
    assert not attrs["complete"]


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
        load_checkpoint(path, like)


def test_damage_is_refused(path):
    whole = path.read_bytes()
    with h5py.File(path, "a") as file:
        del file["leaves/00003"]
    with pytest.raises(ProductError, match="delete it and run again"):
        load_checkpoint(path, TREE)
    for length in (50, len(whole) // 2, len(whole) - 200):
        path.write_bytes(whole[:length])
        with pytest.raises(ProductError, match=r"checkpoint\.h5: damaged .*run again"):
            load_checkpoint(path, TREE)


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
    assert checkpoint_attrs(path)["epoch"] == 3
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.h5"]
