"""No more comes out of a file than its size makes plausible."""

import bz2
import gzip
import io

import h5py
import numpy as np
import pytest
from numcodecs import Zstd

from dust3d.io import limits
from dust3d.io.limits import check_expansion, open_bytes
from dust3d.io.stores import _unpacked_bytes
from dust3d.io.structure import check_dataset, check_file, datasets
from dust3d.io.votables import check_claims


def test_small_and_dense_content_passes():
    check_expansion(limits.SMALL_BYTES, 0)
    check_expansion(10**12, 10**11)
    with pytest.raises(ValueError, match="claims 1e\\+03 GB"):
        check_expansion(10**12, 10**6)


def test_a_gzipped_file_is_read_as_it_was(tmp_path):
    content = np.random.default_rng(1).bytes(3_000_000)
    (tmp_path / "a.gz").write_bytes(
        gzip.compress(content[:1_000_000]) + gzip.compress(content[1_000_000:])
    )
    (tmp_path / "b").write_bytes(content)
    for name in ("a.gz", "b"):
        with open_bytes(tmp_path / name) as file:
            assert file.read(10) == content[:10]
            assert file.seek(0, io.SEEK_END) == len(content)
            file.seek(2_500_000)
            assert file.read(5) == content[2_500_000:2_500_005]
            file.seek(0)
            assert file.read() == content


def test_what_comes_out_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "SMALL_BYTES", 1000)
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(10_000_000)))
    with pytest.raises(ValueError, match="claims"), open_bytes(tmp_path / "a.gz") as file:
        file.read()
    monkeypatch.setattr(limits, "SMALL_BYTES", 2_000_000)
    with open_bytes(tmp_path / "a.gz") as file, pytest.raises(ValueError, match="claims"):
        file.seek(0, io.SEEK_END)


def test_other_packings_are_named(tmp_path):
    (tmp_path / "a").write_bytes(bz2.compress(b"stars"))
    with pytest.raises(ValueError, match="packed by bzip2; unpack it"):
        open_bytes(tmp_path / "a")
    (tmp_path / "b").write_bytes(gzip.compress(gzip.compress(b"stars")))
    with pytest.raises(ValueError, match="gzip inside gzip"):
        open_bytes(tmp_path / "b")


@pytest.mark.parametrize("size", [1, 255, 256, 300, 65_535, 65_791, 70_000, 5_000_000])
def test_the_size_of_a_frame_is_what_comes_out(size):
    assert _unpacked_bytes(Zstd().encode(bytes(size))[:18]) == size
    assert _unpacked_bytes(Zstd().encode(np.random.default_rng(1).bytes(size))[:18]) == size


@pytest.mark.parametrize("start", [b"", b"\x28\xb5\x2f\xfd", b"no frame at all", bytes(18)])
def test_what_is_no_frame_has_no_size(start):
    assert _unpacked_bytes(start) is None


def test_datasets_are_found_through_groups_and_circles_end(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/b/x"] = np.arange(3)
        file["y"] = np.arange(4)
        assert sorted(name for name, _ in datasets(file)) == ["a/b/x", "y"]
        file["soft"] = h5py.SoftLink("/y")
        assert len(list(datasets(file, strict=False))) == 2
        with pytest.raises(ValueError, match="soft points elsewhere"):
            check_file(file)
        del file["soft"]
        file["a/b/c"] = file["a"]
        with pytest.raises(ValueError, match="too deep or are too many"):
            check_file(file)


def test_text_is_text_and_references_are_none(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["text"] = ["a", "b"]
        file.create_dataset("pointer", (2,), h5py.ref_dtype)
        check_dataset("text", file["text"], texts=True)
        for name, texts in (("text", False), ("pointer", True)):
            with pytest.raises(ValueError, match=f"{name} holds references or objects"):
                check_dataset(name, file[name], texts=texts)


def header(table="", field="", first=""):
    """The beginning of a VOTable."""
    text = f'{first}<VOTABLE><TABLE {table}><FIELD name="a" datatype="char" {field}/><DATA><TR/>'
    return io.BytesIO(text.encode())


def test_plausible_headers_pass_and_nothing_behind_them_is_read():
    check_claims(header('nrows="1000"', 'arraysize="30*"'), 50_000)


@pytest.mark.parametrize(
    "claims",
    [
        {"table": 'nrows="99999999999"'},
        {"field": 'arraysize="999999999"'},
        {"field": 'arraysize="99999x99999*"'},
        {"table": 'nrows="1000000"', "field": 'arraysize="100000"'},
    ],
)
def test_implausible_headers_are_refused(claims):
    with pytest.raises(ValueError, match="claims"):
        check_claims(header(**claims), 1000)


def test_entities_are_refused():
    with pytest.raises(ValueError, match="entity 'a'"):
        check_claims(header(first='<!DOCTYPE V [<!ENTITY a "b">]>'), 1000)
