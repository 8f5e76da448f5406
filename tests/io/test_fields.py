"""Fields on disk: damage is noticed, nothing is executed, a full disk leaves nothing."""

import errno
import pickle

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
from tests.fields.examples import EXAMPLES, fourier

from dust3d.errors import ProductError, StorageError
from dust3d.fields.base import Field
from dust3d.io.fields import load_field, save_field


@pytest.fixture
def path(tmp_path):
    """A field in a file."""
    save_field(tmp_path / "field.h5", EXAMPLES["sum 3-D"][0], {})
    return tmp_path / "field.h5"


def test_attributes_come_back(tmp_path):
    attrs = {
        "name": "fourier-4x3x2",
        "order": [4, 3, 2],
        "half_widths_kpc": (1.0, 2.0),
        "seed": 7,
        "rate": 0.5,
        "ball": True,
        "provenance": {"versions": {"jax": "1"}, "seeds": [1, 2]},
        "nothing": None,
    }
    save_field(tmp_path / "field.h5", fourier(), attrs)
    found = load_field(tmp_path / "field.h5")[1]
    del attrs["nothing"]
    assert {k: found[k] for k in attrs} == attrs | {"order": (4, 3, 2)}
    assert "nothing" not in found
    assert found["format"] == "dust3d-field"


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_precision_is_kept(tmp_path, dtype):
    field = fourier()
    field = type(field)(field.order, field.half_widths, *map(dtype, (field.cos, field.sin)))
    save_field(tmp_path / "field.h5", field, {})
    again, _ = load_field(tmp_path / "field.h5")
    assert again.cos.dtype == dtype
    np.testing.assert_array_equal(again.cos, field.cos)


def refused(path, *words):
    """The file is refused by a message that names it."""
    with pytest.raises(ProductError) as caught:
        load_field(path)
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_nothing_there(tmp_path):
    refused(tmp_path / "field.h5", "no such file")


def test_no_hdf5(path):
    path.write_text("not HDF5")
    refused(path, "damaged", "run again")


@pytest.mark.parametrize("part", [0.02, 0.3, 0.9])
def test_cut_short(path, part):
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    refused(path, "damaged", "run again")


def test_another_format_and_another_version(path):
    with h5py.File(path, "a") as file:
        file.attrs["format_version"] = 99
    refused(path, "format version 99", "version 1", "make it again")
    with h5py.File(path, "a") as file:
        file.attrs["format"] = "dust3d-history"
    refused(path, "not a dust3d-field", "dust3d-history")


@pytest.mark.parametrize("name", ["os.system", "Field", "", np.arange(3)])
def test_unknown_classes_are_not_made(path, name):
    with h5py.File(path, "a") as file:
        file["field"].attrs["class"] = name
    refused(path, "unknown class", "FourierField", "make it again")


class Trap:
    """Unpickling it would be noticed."""

    def __reduce__(self):
        return pytest.fail, ("something in the file was executed",)


def test_nothing_is_executed(path):
    with h5py.File(path, "a") as file:
        file["field/parts/1"].attrs["order"] = "__import__('os').abort()"
        file["field/parts/1"].attrs["half_widths"] = np.void(pickle.dumps(Trap()))
    refused(path, "damaged")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_coefficients_that_are_no_numbers(path, value):
    with h5py.File(path, "a") as file:
        file["field/parts/1/cos"][3] = value
    refused(path, "not finite", "fit it again")


@pytest.mark.parametrize("damage", ["lost", "short", "text", "group", "part", "all"])
def test_lost_and_misshapen_parts(path, damage):
    with h5py.File(path, "a") as file:
        if damage == "all":
            del file["field"]
        elif damage == "part":
            del file["field/parts/1"]
        else:
            del file["field/parts/1/cos"]
        if damage == "short":
            file["field/parts/1/cos"] = np.zeros(2)
        elif damage == "text":
            file["field/parts/1/cos"] = ["a", "b"]
        elif damage == "group":
            file.create_group("field/parts/1/cos/0")
    refused(path, "again")


def test_a_box_of_no_size_is_refused(path):
    with h5py.File(path, "a") as file:
        file["field/parts/1"].attrs["half_widths"] = "[NaN, 1.0, 1.0]"
    refused(path, "half-widths must be positive")


def test_flipped_bytes_in_the_structure_are_refused_or_harmless(path):
    content = bytearray(path.read_bytes())
    field, _ = load_field(path)
    noticed = 0
    for place in range(0, 2000, 97):
        damaged = content.copy()
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            again, _ = load_field(path)
        except ProductError:
            noticed += 1
        else:
            assert isinstance(again, type(field))
    assert noticed > 0


def test_a_full_disk_leaves_nothing_and_keeps_the_old(path, monkeypatch):
    old = path.read_bytes()

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises(StorageError, match=r"field\.h5: cannot be written .*Make room"):
        save_field(path, fourier(), {})
    assert [p.name for p in path.parent.iterdir()] == ["field.h5"]
    assert path.read_bytes() == old


class Unknown(Field):
    """A field that no file could bring back."""

    def __call__(self, position):
        return position[0]


def test_a_class_that_could_not_be_opened_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="register_field"):
        save_field(tmp_path / "field.h5", Unknown(), {})
    assert not list(tmp_path.iterdir())
