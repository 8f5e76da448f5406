"""A complete run of a small mock through the workflow: every product of the contract."""

import csv
import json
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from astropy.table import QTable
from tests.workflow.origins import lacks, origins


@pytest.fixture(scope="module")
def small(tmp_path_factory, repository, complete_run):
    return complete_run(tmp_path_factory.mktemp("small"), repository / "config" / "test.yaml")


class TestSmallRun:
    """The products of the contract, made from a small mock."""

    def test_star_tables_open_in_astropy(self, small):
        for name in ("astrometry", "extinction", "matched", "train", "heldout"):
            table = QTable.read(small.results / "stars" / f"{name}.h5", path="stars")
            assert len(table) > 100
            assert table["ra"].unit == u.deg
            assert "provenance" in table.meta
        train = QTable.read(small.results / "stars" / "train.h5", path="stars")
        assert (train["distance"].unit, train["extinction"].unit) == (u.kpc, u.mag)
        assert train["source_id"].dtype == np.int64

    def test_train_and_heldout_share_no_star(self, small):
        ids = [
            set(QTable.read(small.results / "stars" / f"{n}.h5", path="stars")["source_id"])
            for n in ("train", "heldout")
        ]
        assert not ids[0] & ids[1]

    def test_maps_open_in_xarray_on_one_grid(self, small):
        maps = [small.results / "truth" / "map.zarr"]
        maps += [small.results / "maps" / f"{fit}.zarr" for fit in small.config.fit_names()]
        for path in maps:
            opened = xr.open_zarr(path)
            assert opened["density"].dims == ("x", "y", "z")
            assert opened["density"].shape == small.config.map.cells
            assert opened["density"].attrs["units"] == "mag / kpc"
            assert opened.attrs["format"] == "dust3d-map"
            assert opened.attrs["format_version"] == 1
            for name in ("density", "extinction", "ln_density"):
                assert np.isfinite(opened[name]).all()
            step = 2 * small.config.box.half_widths_kpc[0] / small.config.map.cells[0]
            first = -small.config.box.half_widths_kpc[0] + step / 2
            np.testing.assert_allclose(opened["x"][0], first, rtol=1e-6)

    def test_fits_open_in_h5py(self, small):
        for fit in small.config.fit_names():
            folder = small.results / "fits" / fit
            for name in ("field.h5", "history.h5", "checkpoint.h5"):
                with h5py.File(folder / name) as file:
                    assert len(file) > 0
            summary = json.loads((folder / "fit.json").read_text())
            assert summary["name"] == fit
            expected = "production" if summary["model"] == "fourier" else "exact"
            assert summary["rays"]["method"] == expected

    def test_every_fit_has_its_row(self, small):
        with open(small.results / "comparison.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["name"] for row in rows] == small.config.fit_names()
        assert all(np.isfinite(float(row["heldout_lpd"])) for row in rows)

    def test_every_job_left_its_log_and_its_benchmark(self, small):
        logs = {path.stem for path in (small.results / "logs").glob("*.log")}
        benchmarks = {path.stem for path in (small.results / "benchmarks").glob("*.tsv")}
        assert logs == benchmarks
        assert {"mock", "crossmatch", "select", "truth_map", "compare", "star_figures"} <= logs
        assert {f"fit-{fit}" for fit in small.config.fit_names()} <= logs
        for path in (small.results / "logs").glob("*.log"):
            assert "done in" in path.read_text(), path.name

    def test_figures_are_there(self, small):
        figures = {path.name for path in (small.results / "figures").iterdir()}
        assert {"compare-slices.png", "crossmatch.png", "mlp-8-slices.png"} <= figures
        assert {f"{fit}-training.gif" for fit in small.config.fit_names()} <= figures

    def test_every_product_says_where_it_comes_from(self, small):
        found = origins(small.results)
        kinds = {path.suffix for path in found}
        assert {".h5", ".json", ".csv", ".png", ".gif", ".zarr"} <= kinds
        for path, origin in found.items():
            assert lacks(origin) == [], path
        seeds = {int(origin["seed"]) for origin in found.values()}
        assert seeds == {small.config.seed}

    def test_nothing_else_is_written(self, small):
        assert {path.name for path in small.folder.iterdir()} <= {"results", ".snakemake"}
        left = [p for p in small.results.rglob("*") if ".part" in p.name]
        assert left == []

    def test_a_second_run_does_nothing(self, small):
        done = small.snakemake()
        assert done.returncode == 0
        assert "Nothing to be done" in done.stdout + done.stderr

    def test_the_report_is_written(self, small):
        report = small.results / "report.html"
        done = small.snakemake("--report", str(report))
        assert done.returncode == 0, done.stderr
        assert report.stat().st_size > 100_000

    @pytest.mark.parametrize("product", ["fits/fourier-3x3x1", "fits/mlp-8", "truth"])
    def test_maps_answer_in_a_plain_python(self, small, product):
        """No setting, no warning: what a user types."""
        code = (
            "import dust3d\n"
            "from astropy import units as u\n"
            "from astropy.coordinates import SkyCoord\n"
            f"opened = dust3d.open_map({str(small.results / product)!r})\n"
            "star = SkyCoord(l=[30, 90] * u.deg, b=[2, 1] * u.deg, distance=0.5 * u.kpc,"
            " frame='galactic')\n"
            "assert opened.extinction(star).unit == u.mag\n"
            "assert (opened.extinction(star) > 0).all()\n"
            "assert opened.density(star.icrs).unit == u.mag / u.kpc\n"
        )
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_a_mistake_in_the_stars_is_one_sentence_in_the_end(small, tmp_path):
    """A damaged product stops the run with its file and the remedy, not with a traceback."""
    copy = tmp_path / "copy"
    shutil.copytree(small.folder, copy)
    damaged = copy / "results" / "test" / "stars" / "matched.h5"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    done = small.snakemake(folder=copy)
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "dust3d: " in text
    assert "matched.h5" in text.partition("dust3d: ")[2].splitlines()[0]
    assert "Traceback" not in text
