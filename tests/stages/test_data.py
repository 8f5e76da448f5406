"""The data folder is filled from another folder, or from archives whose answers are recorded."""

import gzip
import io
import sys
import types
import urllib.error

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, Table

from dust3d.config.catalogues import Catalogue
from dust3d.errors import TableError
from dust3d.io import archives
from dust3d.io.ingest import ingest, read_identifications
from dust3d.stages.data import DOWNLOADS, fill

HIP = (
    b"     1   5 0 1  0.0000159148  0.0190068680    4.55    -4.55    -1.19   1.29   0.66   1.33"
    b"   1.25   0.75  90  0.91  0    0.0    0  9.2043 0.0020 0.017 0  0.482 0.025  0.550\n"
)


@pytest.fixture(autouse=True)
def no_folder_named(monkeypatch):
    monkeypatch.delenv("DUST3D_DATA", raising=False)


@pytest.fixture
def source(tmp_path):
    for name in DOWNLOADS:
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "source"


def test_files_are_linked_from_a_folder_and_those_there_are_kept(tmp_path, source):
    folder = tmp_path / "data"
    (folder / "physics").mkdir(parents=True)
    (folder / "physics/PScolors.dat").write_text("mine")
    added = fill(folder, source)
    assert len(added) == len(DOWNLOADS) - 1
    assert (folder / "gaia/gaia_bright.fits.gz").read_text() == "gaia/gaia_bright.fits.gz"
    assert (folder / "physics/PScolors.dat").read_text() == "mine"
    assert fill(folder, source) == []


def test_files_are_copied_where_links_cannot_be_made(tmp_path, source, monkeypatch):
    def refuse(self, target):
        raise OSError("no links here")

    monkeypatch.setattr("pathlib.Path.symlink_to", refuse)
    fill(tmp_path / "data", source)
    path = tmp_path / "data/physics/PScolors.dat"
    assert path.read_text() == "physics/PScolors.dat"
    assert not path.is_symlink()


def test_the_environment_names_the_source(tmp_path, source, monkeypatch):
    monkeypatch.setenv("DUST3D_DATA", str(source))
    assert len(fill(tmp_path / "data")) == len(DOWNLOADS)
    # the folder itself is no source of what it lacks
    monkeypatch.setenv("DUST3D_DATA", str(tmp_path / "data"))
    assert fill(tmp_path / "data") == []


def test_a_source_that_lacks_a_file(tmp_path, source):
    (source / "hipparcos/hip2.dat.gz").unlink()
    with pytest.raises(TableError, match=r"lacks hipparcos/hip2\.dat\.gz; DUST3D_DATA must name"):
        fill(tmp_path / "data", source)
    assert not (tmp_path / "data").exists()


class FakeJob:
    """An answer of the Gaia archive."""

    def __init__(self, table: Table):
        self.table = table

    def get_results(self) -> Table:
        return self.table


class FakeGaia:
    """The Gaia archive, which knows one star in each of the twelve pieces."""

    ROW_LIMIT = 2000

    def __init__(self):
        self.queries: list[str] = []

    def launch_job_async(self, query: str) -> FakeJob:
        self.queries.append(query)
        if "best_neighbour" in query:
            return FakeJob(Table({"SOURCE_ID": [2**60 + 1], "original_ext_source_id": [11]}))
        low = int(query.split("BETWEEN ")[1].split()[0])
        star = {
            "SOURCE_ID": [low + 3],
            "ra": [10.0] * u.deg,
            "dec": [20.0] * u.deg,
            "ref_epoch": [2016.0] * u.yr,
            "pmra": MaskedColumn([0.0], mask=[True]),
            "pmdec": MaskedColumn([0.0], mask=[True]),
            "parallax": [3.0] * u.mas,
            "parallax_error": [0.1] * u.mas,
            "phot_g_mean_mag": [8.0] * u.mag,
            "phot_bp_mean_mag": [8.0] * u.mag,
            "phot_rp_mean_mag": [8.0] * u.mag,
        }
        return FakeJob(Table(star))


class FakeVizier:
    """VizieR's answer for I/239/hip_main."""

    def __init__(self, columns, row_limit):
        assert row_limit == -1

    def get_catalogs(self, name: str) -> list[Table]:
        assert name == "I/239/hip_main"
        types_ = MaskedColumn(["A0 V", "K1+IIICN0.5", ""], mask=[False, False, True])
        return [Table({"HIP": [1, 2, 3], "SpType": types_})]


@pytest.fixture
def gaia(monkeypatch):
    """The network replaced by recorded answers."""
    answers = {
        archives.HIPPARCOS_URL: gzip.compress(HIP),
        archives.DWARF_SEQUENCE_URL: b"#SpT B-V\n",
        archives.TEMPLATES_URL: b"# Mr FeH\n",
    }
    client = FakeGaia()
    fake = {"gaia": {"Gaia": client}, "vizier": {"Vizier": FakeVizier}}
    for name, content in fake.items():
        module = types.ModuleType(f"astroquery.{name}")
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, f"astroquery.{name}", module)
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: io.BytesIO(answers[url]))
    return client


def test_downloads_have_the_layout_that_is_read(tmp_path, gaia):
    folder = tmp_path / "data"
    assert len(fill(folder)) == len(DOWNLOADS)
    stars = ingest(
        Catalogue(path=str(folder / "gaia/gaia_bright.fits.gz"), epoch_yr=2016.0), "astrometry"
    )
    assert len(stars) == 12
    assert (np.diff(stars["source_id"]) == 2**59).all()
    assert np.isnan(stars["pmra"].value).all()
    assert gaia.ROW_LIMIT == -1
    first, second = read_identifications(
        folder / "hipparcos/xmatch_sample.csv.gz", "source_id", "hip"
    )
    assert (first[0], second[0]) == (2**60 + 1, 11)
    old = Catalogue(
        path=str(folder / "hipparcos/hip2.dat.gz"),
        format="fixed_width",
        epoch_yr=1991.25,
        byte_columns={"extinction_id": (1, 6), "ra": (16, 28), "dec": (30, 42), "b_v": (153, 158)},
        units={"ra": "rad", "dec": "rad", "b_v": "mag"},
        join={
            "path": str(folder / "hipparcos/sptypes.csv.gz"),
            "columns": {"extinction_id": "hip", "spectral_type": "sptype"},
        },
    )
    table = ingest(old, "extinction")
    assert table["spectral_type"].tolist() == ["A0V"]
    assert table["b_v"][0] == 0.482 * u.mag


def test_a_truncated_download_leaves_nothing(tmp_path, gaia, monkeypatch):
    whole = gzip.compress(HIP)
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: io.BytesIO(whole[:-20]))
    with pytest.raises(TableError, match=r"hip2\.dat\.gz cannot be fetched .* DUST3D_DATA"):
        fill(tmp_path / "data")
    assert not list((tmp_path / "data").rglob("*hip2*"))


def test_archives_that_do_not_answer(tmp_path, gaia, monkeypatch):
    def unreachable(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(TableError, match=r"no network.*try again later"):
        archives.fetch_file(archives.TEMPLATES_URL)
    monkeypatch.setattr(gaia, "launch_job_async", unreachable)
    with pytest.raises(TableError, match="Gaia archive's answer cannot be fetched"):
        fill(tmp_path / "data")
    monkeypatch.setattr(gaia, "launch_job_async", lambda query: FakeJob(Table({"source_id": []})))
    with pytest.raises(TableError, match="no rows for: SELECT"):
        archives.gaia_bright_stars()
