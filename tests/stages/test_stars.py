"""The stages of the stars, on made-up catalogues and on the real ones."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy import units as u
from astropy.table import QTable, vstack

from dust3d.config.run import Config, parse
from dust3d.errors import TableError
from dust3d.io.tables import integers, read_table, texts, write_table
from dust3d.stages import stars

RECORD = {"seed": 3, "source": "digest"}
SELECT = {
    "box": {"half_widths_kpc": [1.0, 1.0, 1.0]},
    "crossmatch": {},
    "selection": {},
    "heldout": {"fraction": 0.25},
}


def catalogues(folder: Path, n: int = 60) -> dict[str, Path]:
    """Two catalogues and their truth: the second lacks two stars and has a spurious one."""
    rng = np.random.default_rng(7)
    ra, dec = rng.uniform(0, 360, n) * u.deg, rng.uniform(-60, 60, n) * u.deg
    ids = np.arange(n) + 10**18
    astrometry = QTable(
        {
            "source_id": ids,
            "ra": ra,
            "dec": dec,
            "parallax": np.full(n, 4.0) * u.mas,
            "parallax_error": np.full(n, 0.02) * u.mas,
            "phot_g_mean_mag": rng.uniform(6, 10, n) * u.mag,
        },
        meta={"epoch_yr": 2016.0},
    )
    second = np.arange(n) + 5
    extinction = QTable(
        {
            "extinction_id": second[1:],
            "ra": np.append(ra[1:-1], 1.0 * u.deg),
            "dec": np.append(dec[1:-1], 75.0 * u.deg),
            "v_mag": astrometry["phot_g_mean_mag"][1:] + 0.3 * u.mag,
            "extinction": rng.normal(0.1, 0.1, n - 1) * u.mag,
            "extinction_error": np.full(n - 1, 0.1) * u.mag,
            "class": np.full(n - 1, "A"),
        },
        meta={"epoch_yr": 2000.0},
    )
    truth = QTable({"source_id": ids, "extinction_id": second})
    truth["extinction_id"][[0, n - 1]] = -1
    paths = {name: folder / f"{name}.h5" for name in ("astrometry", "extinction", "truth_stars")}
    for path, table in zip(paths.values(), (astrometry, extinction, truth), strict=True):
        write_table(path, table)
    return paths


def crossmatched(folder: Path) -> dict:
    paths = catalogues(folder)
    stars.crossmatch(
        **paths,
        matched=folder / "matched.h5",
        report=folder / "crossmatch.json",
        settings={"crossmatch": {"missing_motion_mas_per_yr": 10.0, "shifted_skies": 2}},
        **RECORD,
    )
    return json.loads((folder / "crossmatch.json").read_text())


def test_a_crossmatch_is_written_and_judged(tmp_path):
    report = crossmatched(tmp_path)
    table = read_table(tmp_path / "matched.h5")
    assert len(table) == 58
    assert table.colnames[:4] == ["source_id", "extinction_id", "separation", "ambiguous"]
    assert table["separation"].unit == u.arcsec
    assert {"ra_2", "dec_2", "v_mag"} <= set(table.colnames)
    assert table.meta["provenance"]["seed"] == 3
    np.testing.assert_array_equal(
        integers(table, "source_id") - 10**18, integers(table, "extinction_id") - 5
    )
    assert report["known"] == {
        "n": 58,
        "n_found": 58,
        "n_judged": 58,
        "n_right": 58,
        "completeness": 1.0,
        "purity": 1.0,
    }
    assert (report["n_astrometry"], report["n_extinction"], report["n_pairs"]) == (60, 59, 58)
    assert sum(report["separation_histogram"]["counts"]) == 58
    assert report["chance"]["rate"] == 0.0
    assert report["parallax_agreement"]["mas"]["n"] == 0
    assert report["magnitude_agreement"]["columns"] == ["phot_g_mean_mag", "v_mag"]
    assert report["magnitude_agreement"]["mag"]["median"] == pytest.approx(-0.3)


def test_motions_that_nobody_knows_are_warned_of(tmp_path, caplog):
    crossmatched(tmp_path)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    # 16 years of 10 mas/yr
    assert "16 yr apart: pairs are searched within 1.16 arcsec instead of 1" in caplog.text


def test_no_pairs_is_an_error_that_names_epochs_and_files(tmp_path):
    paths = catalogues(tmp_path)
    table = read_table(paths["extinction"])
    table["dec"] += 10 * u.deg
    write_table(paths["extinction"], table)
    with pytest.raises(TableError, match=r"extinction\.h5: no pair .* epochs \(2016 and 2000\)"):
        stars.crossmatch(
            **paths,
            matched=tmp_path / "m.h5",
            report=tmp_path / "r.json",
            settings={"crossmatch": {}},
            **RECORD,
        )
    assert not (tmp_path / "m.h5").exists()


def test_selected_stars_are_split_once_and_counted(tmp_path):
    crossmatched(tmp_path)
    for _ in range(2):
        stars.select(
            matched=tmp_path / "matched.h5",
            train=tmp_path / "train.h5",
            heldout=tmp_path / "heldout.h5",
            report=tmp_path / "stars.json",
            settings=SELECT,
            **RECORD,
        )
        train, heldout = (read_table(tmp_path / f"{name}.h5") for name in ("train", "heldout"))
        ids = integers(train, "source_id"), integers(heldout, "source_id")
    assert (len(train), len(heldout)) == (44, 14)
    assert not set(ids[0]) & set(ids[1])
    report = json.loads((tmp_path / "stars.json").read_text())
    assert (report["n_matched"], report["n_train"], report["n_heldout"]) == (58, 44, 14)
    assert report["classes"] == {"A": 58}
    assert report["cuts"][0] == {"name": "no extinction", "removed": 0, "left": 58}
    assert train.meta["epoch_yr"] == 2016.0


def real_config(data_folder: Path, repository: Path) -> Config:
    """config/hipparcos.yaml with its paths in the data folder."""
    content = (repository / "config" / "hipparcos.yaml").read_text()
    return parse(yaml.safe_load(content.replace("data/", f"{data_folder}/")))


def test_an_extinction_catalogue_needs_extinctions_or_types(tmp_path):
    table = QTable({"extinction_id": [1], "ra": [1.0] * u.deg, "dec": [1.0] * u.deg})
    table.write(tmp_path / "stars.fits")
    catalogue = {"path": str(tmp_path / "stars.fits"), "epoch_yr": 2000.0}
    settings: dict = {"catalogues": {"extinction": catalogue, "excess": None}}
    with pytest.raises(TableError, match=r"no column 'extinction' \(A_V, not E\(B-V\)\) .*excess"):
        stars.ingest(role="extinction", output=tmp_path / "e.h5", settings=settings, **RECORD)
    settings["catalogues"]["excess"] = {"sequence": "sequence.txt"}
    with pytest.raises(TableError, match="no column 'b_v'"):
        stars.ingest(role="extinction", output=tmp_path / "e.h5", settings=settings, **RECORD)


def test_the_real_stars(tmp_path, data_folder, repository):
    config = real_config(data_folder, repository)
    paths = {role: tmp_path / f"{role}.h5" for role in ("astrometry", "extinction")}
    for role, path in paths.items():
        stars.ingest(role=role, output=path, settings=config.ingest_settings(role), **RECORD)
    settings = config.crossmatch_settings()
    settings["crossmatch"]["shifted_skies"] = 1
    stars.crossmatch(
        **paths,
        truth_stars=None,
        matched=tmp_path / "matched.h5",
        report=tmp_path / "crossmatch.json",
        settings=settings,
        **RECORD,
    )
    stars.select(
        matched=tmp_path / "matched.h5",
        train=tmp_path / "train.h5",
        heldout=tmp_path / "heldout.h5",
        report=tmp_path / "stars.json",
        settings=config.settings("box", "crossmatch", "selection", "heldout"),
        **RECORD,
    )
    report = json.loads((tmp_path / "crossmatch.json").read_text())
    assert report["known"]["completeness"] >= 0.995
    assert report["known"]["purity"] >= 0.998
    assert report["chance"]["rate"] < 1e-3
    assert abs(report["parallax_agreement"]["mas"]["median"]) < 0.15
    chosen = json.loads((tmp_path / "stars.json").read_text())
    assert chosen["n_train"] + chosen["n_heldout"] >= 15_000

    both = [read_table(tmp_path / f"{name}.h5") for name in ("train", "heldout")]
    nearby = QTable(vstack(both, metadata_conflicts="silent"))
    nearby = nearby[nearby["distance"] < 0.08 * u.kpc]
    excess = nearby["extinction"].to_value("mag") / 3.1
    for name in ("A0-4", "A5-9", "F0-4", "F5-9"):
        # where there is hardly any dust the zero points of the colour scale are left
        assert 0.0 < np.median(excess[texts(nearby, "class") == name]) < 0.03
    assert (excess < 0).mean() > 0.1
