"""Maps as zarr stores: what others read in them, and damage that is noticed."""

import errno
import json
import shutil

import numpy as np
import pytest
import xarray as xr
import zarr.storage
from tests.fields.examples import HALF_WIDTHS, fourier

from dust3d.errors import ProductError, StorageError
from dust3d.io.maps import read_map, write_map
from dust3d.maps.gridding import grid_map
from dust3d.observations import Observations

CELLS = (8, 6, 4)


def dataset(ndim=3):
    """The map of a small field, with stars."""
    places = np.array([[1.9, 1.4, 0.9], [1.9, 1.4, 0.9], [-2.0, 0.1, 0.1]])[:, :ndim]
    ones = np.ones(3)
    stars = Observations(places, ones, ones, np.zeros(3, dtype=np.int64), ("",))
    attrs = {"order": [4, 3, 2][:ndim], "seed": 1, "estimator": "maximum", "provenance": {"a": [1]}}
    return grid_map(fourier(ndim), HALF_WIDTHS[:ndim], CELLS[:ndim], attrs, stars)


@pytest.fixture
def path(tmp_path):
    """A map in a store."""
    write_map(tmp_path / "map.zarr", dataset())
    return tmp_path / "map.zarr"


def test_xarray_reads_the_contract_without_us(path):
    with xr.open_zarr(path) as found:
        assert dict(found.sizes) == dict(zip("xyz", CELLS, strict=True))
        for name, half, n in zip("xyz", HALF_WIDTHS, CELLS, strict=True):
            centres = -half + (np.arange(n) + 0.5) * 2 * half / n
            np.testing.assert_allclose(found[name], centres, atol=1e-14)
            assert found[name].attrs["units"] == "kpc"
        units = {"density": "mag / kpc", "extinction": "mag", "ln_density": "1", "n_stars": "1"}
        for name, unit in units.items():
            assert found[name].dims == ("x", "y", "z")
            assert found[name].attrs["units"] == unit
            assert found[name].attrs["long_name"]
        assert found["density"].dtype == np.float32
        assert found["n_stars"].dtype == np.int32
        assert found.attrs["format"] == "dust3d-map"
        assert found.attrs["format_version"] == 1
        assert found.attrs["order"] == [4, 3, 2]
        assert found.attrs["band"] == "V"
        assert "Galactic" in found.attrs["frame"]
        assert "mag / kpc" in found.attrs["units"]
        assert found.attrs["estimator"] == "maximum"
        assert found.attrs["half_widths_kpc"] == list(HALF_WIDTHS)
        assert json.loads(found.attrs["provenance"]) == {"a": [1]}


@pytest.mark.parametrize("ndim", [2, 3])
def test_there_and_back(tmp_path, ndim):
    made = dataset(ndim)
    write_map(tmp_path / "map.zarr", made)
    found = read_map(tmp_path / "map.zarr")
    for name in made.variables:
        np.testing.assert_allclose(found[name], made[name], rtol=1e-6, atol=1e-6)
    assert found["n_stars"].values.sum() == 3
    assert made["density"].dtype == np.float64


def test_a_map_of_the_plane_has_one_cell_in_z(tmp_path):
    write_map(tmp_path / "map.zarr", dataset(2))
    with xr.open_zarr(tmp_path / "map.zarr") as found:
        assert dict(found.sizes) == {"x": 8, "y": 6, "z": 1}
        assert found["z"].values.tolist() == [0.0]
        assert found["density"].dims == ("x", "y", "z")


def refused(path, *words):
    """The map is refused by a message that names it and the remedy."""
    with pytest.raises(ProductError) as caught:
        read_map(path)
    for word in (str(path), *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["density", "extinction", "ln_density", "n_stars", "x", "z"])
def test_a_lost_chunk_is_noticed(path, name):
    shutil.rmtree(path / name / "c")
    refused(path, name, "make it again")


@pytest.mark.parametrize("name", ["density", "n_stars"])
def test_lost_metadata_of_a_variable_are_noticed(path, name):
    (path / name / "zarr.json").unlink()
    refused(path, name, "make it again")


def test_lost_or_broken_metadata_of_the_store_are_noticed(path):
    (path / "zarr.json").write_text('{"zarr_format": 3,')
    refused(path, "damaged", "make it again")
    (path / "zarr.json").unlink()
    refused(path, "damaged", "make it again")
    shutil.rmtree(path)
    refused(path, "no such map")


@pytest.mark.parametrize("damage", ["short", "empty", "flipped"])
def test_a_damaged_chunk_is_noticed(path, damage):
    chunk = next(p for p in (path / "extinction" / "c").rglob("*") if p.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 0xFF
    chunk.write_bytes({"short": content[:-9], "empty": b"", "flipped": content}[damage])
    refused(path, "make it again")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("format", "other", "not a dust3d-map"),
        ("format_version", 2, "format version 2"),
    ],
)
def test_other_formats_and_versions(path, key, value, words):
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"][key] = value
    (path / "zarr.json").write_text(json.dumps(metadata))
    refused(path, words)


def test_a_full_disk_leaves_nothing_and_keeps_the_old(path, monkeypatch):
    async def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zarr.storage.LocalStore, "set", full)
    with pytest.raises(StorageError, match=r"map\.zarr: cannot be written .*Make room"):
        write_map(path, dataset())
    monkeypatch.undo()
    assert [p.name for p in path.parent.iterdir()] == ["map.zarr"]
    read_map(path)


def test_variables_that_a_user_adds_are_kept(path):
    extended = read_map(path)
    extended["mine"] = 2 * extended["density"]
    extended.to_zarr(path, mode="w", zarr_format=3, consolidated=False)
    np.testing.assert_array_equal(read_map(path)["mine"], 2 * extended["density"])
