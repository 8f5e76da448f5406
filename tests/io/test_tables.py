"""Star tables written and read back, and what damaged ones are told."""

import errno
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from astropy.utils.masked import Masked

from dust3d.errors import StorageError, TableError
from dust3d.io import tables
from dust3d.io.tables import (
    count_rows,
    in_unit,
    integers,
    meta,
    read_chunks,
    read_table,
    rows_of,
    texts,
    write_table,
)


@pytest.fixture
def table() -> QTable:
    stars = QTable(
        {
            "source_id": np.array([2**62 + 1, 7], dtype=np.int64),
            "ra": [10.0, 20.0] * u.deg,
            "parallax": [1.5, np.nan] * u.mas,
            "class": np.array(["A0-4", ""]),
            "ambiguous": [True, False],
        }
    )
    stars.meta = {"epoch_yr": 2016.0, "provenance": {"seed": 3, "versions": {"numpy": "2"}}}
    return stars


def test_a_table_reads_back_with_ids_units_and_meta(tmp_path, table):
    write_table(tmp_path / "stars.h5", table)
    back = read_table(tmp_path / "stars.h5")
    assert integers(back, "source_id")[0] == 2**62 + 1
    assert back["source_id"].dtype == np.int64
    assert back["ra"].unit == u.deg
    np.testing.assert_array_equal(in_unit(back, "parallax", "arcsec"), [1.5e-3, np.nan])
    assert texts(back, "class").tolist() == ["A0-4", ""]
    assert meta(back)["provenance"]["versions"] == {"numpy": "2"}


def test_astropy_alone_opens_it(tmp_path, table):
    write_table(tmp_path / "stars.h5", table)
    assert QTable.read(tmp_path / "stars.h5", path="stars")["ra"].unit == u.deg


def test_columns_are_chosen_and_absent_ones_named(tmp_path, table):
    write_table(tmp_path / "stars.h5", table)
    assert read_table(tmp_path / "stars.h5", ["ra"]).colnames == ["ra"]
    with pytest.raises(TableError, match=r"stars\.h5: no column 'distance'.*it has: source_id"):
        read_table(tmp_path / "stars.h5", ["ra", "distance"])


@pytest.mark.parametrize("rows", [1, 3, 4, 10, 100])
def test_chunks_of_a_table_are_the_table(tmp_path, rows):
    distance = np.arange(10.0) * u.kpc
    stars = QTable({"class": [f"é{i}" for i in range(10)], "distance": distance, "id": range(10)})
    stars["extinction"] = Masked(np.arange(10.0), mask=np.arange(10) == 4) * u.mag
    write_table(tmp_path / "stars.h5", stars)
    assert count_rows(tmp_path / "stars.h5") == 10
    names = ["extinction", "distance", "class", "id"]
    chunks = list(read_chunks(tmp_path / "stars.h5", names, rows))
    assert [len(c) for c in chunks] == [rows] * (10 // rows) + [10 % rows] * (10 % rows > 0)
    assert all(c.colnames == names for c in chunks)
    whole = read_table(tmp_path / "stars.h5", names)
    for name, unit in (("extinction", "mag"), ("distance", "pc")):
        found = np.concatenate([in_unit(c, name, unit) for c in chunks])
        np.testing.assert_array_equal(found, in_unit(whole, name, unit))
        assert np.flatnonzero(np.isnan(found)).tolist() == ([4] if name == "extinction" else [])
    for name in ("class", "id"):
        found = np.concatenate([np.asarray(c[name]) for c in chunks])
        np.testing.assert_array_equal(found, np.asarray(whole[name]))


def test_chunks_are_refused_as_tables_are(tmp_path, table):
    path = tmp_path / "stars.h5"
    with pytest.raises(TableError, match="no such file"):
        next(read_chunks(path, ["ra"]))
    write_table(path, table)
    with pytest.raises(TableError, match=r"no column 'distance'.*it has: source_id"):
        next(read_chunks(path, ["distance"]))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(TableError, match="damaged"):
        count_rows(path)


def test_a_column_that_is_not_there_is_nan(table):
    assert np.isnan(in_unit(table, "pmra", "mas / yr")).all()


def test_rows_keep_meta(table):
    assert meta(rows_of(table, np.array([False, True])))["epoch_yr"] == 2016.0


def test_damaged_tables_are_refused_with_the_file_and_the_remedy(tmp_path, table):
    path = tmp_path / "stars.h5"
    with pytest.raises(TableError, match=r"stars\.h5: no such file; run the workflow"):
        read_table(path)
    write_table(path, table)
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"x" * 5000):
        path.write_bytes(content)
        with pytest.raises(TableError, match=r"stars\.h5: damaged .*remove the file"):
            read_table(path)
    table[:0].write(path, path="stars", overwrite=True, serialize_meta=True)
    with pytest.raises(TableError, match="0 rows"):
        read_table(path)
    table.write(path, path="other", overwrite=True, serialize_meta=True)
    with pytest.raises(TableError, match=r"holds no table 'stars', but other"):
        read_table(path)


def test_a_full_disk_leaves_nothing(tmp_path, table, monkeypatch):
    """Small tables are written by Python: HDF5 may end the process on a full disk."""

    def full(self, content):
        with open(self, "wb") as file:
            file.write(content[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match=r"stars\.h5: cannot be written .*Make room"):
        write_table(tmp_path / "stars.h5", table)
    assert list(tmp_path.iterdir()) == []


def test_a_table_too_large_for_memory_is_written_as_it_comes(tmp_path, table, monkeypatch):
    write_table(tmp_path / "whole.h5", table)
    monkeypatch.setattr(tables, "_MOST_IN_MEMORY", 0)
    monkeypatch.setattr(Path, "write_bytes", lambda *_: pytest.fail("it was made in memory"))
    write_table(tmp_path / "large.h5", table)
    both = [read_table(tmp_path / name) for name in ("whole.h5", "large.h5")]
    assert both[0].colnames == both[1].colnames
    assert str(both[0]) == str(both[1])


def test_python_objects_are_never_written(tmp_path):
    table = QTable({"class": np.array(["A", None], dtype=object)})
    with pytest.raises(TableError, match="Python objects"):
        write_table(tmp_path / "stars.h5", table)
    assert list(tmp_path.iterdir()) == []
