"""Whole inputs of every kind, made by a run of a second or two: what the damaged ones come from."""

import gzip
import io
import json
import shutil
import warnings
from pathlib import Path

import astropy.units as u
import h5py
import numpy as np
from astropy.table import QTable

from dust3d.io import seals
from dust3d.io.fields import load_field
from dust3d.io.maps import write_map
from dust3d.io.tables import write_table
from dust3d.maps.gridding import grid_map
from dust3d.stages import fit

CATALOGUES = {
    "stars.fits": {"checksum": True},
    "plain.fits": {},
    "stars.fits.gz": {},
    "stars.h5": {},
    "stars.ecsv": {"format": "ascii.ecsv"},
    "stars.csv": {"format": "ascii.csv"},
    "stars.csv.gz": {"format": "ascii.csv"},
    "stars.vot": {"format": "votable"},
    "stars.parquet": {"format": "parquet"},
}
SEED = 7


def table(number: int = 40) -> QTable:
    """A catalogue that holds all that either role needs."""
    generator = np.random.default_rng(SEED)
    return QTable(
        {
            "source_id": 2**60 + np.arange(number),
            "ra": generator.uniform(0, 360, number) * u.deg,
            "dec": generator.uniform(-90, 90, number) * u.deg,
            "pmra": generator.normal(0, 20, number) * u.mas / u.yr,
            "pmdec": generator.normal(0, 20, number) * u.mas / u.yr,
            "parallax": generator.uniform(1, 9, number) * u.mas,
            "parallax_error": np.full(number, 0.02) * u.mas,
            "extinction": generator.uniform(0, 3, number) * u.mag,
            "extinction_error": np.full(number, 0.05) * u.mag,
            "class": np.where(np.arange(number) % 2, "A", "F"),
        }
    )


def write_catalogue(path: Path, stars: QTable) -> None:
    """In the format of the name."""
    with warnings.catch_warnings():
        # of names and values that a format does not like
        warnings.simplefilter("ignore")
        _write(path, stars, CATALOGUES[path.name])


def _write(path: Path, stars: QTable, options: dict) -> None:
    if path.suffix == ".h5":
        write_table(path, stars)
    elif path.name == "stars.csv.gz":
        text = io.StringIO()
        stars.write(text, **options)
        path.write_bytes(gzip.compress(text.getvalue().encode()))
    elif path.suffixes == [".fits"] and options:
        from astropy.io import fits

        hdu = fits.table_to_hdu(stars)
        hdu.add_checksum()
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    else:
        stars.write(path, **options)


def _selected(path: Path, number: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    xyz = np.zeros((number, 3))
    xyz[:, :2] = generator.uniform(-0.8, 0.8, (number, 2))
    distance = np.linalg.norm(xyz, axis=1)
    stars = QTable(
        {
            "source_id": np.arange(number),
            "extinction_id": np.arange(number),
            "l": np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0])) % 360 * u.deg,
            "b": np.zeros(number) * u.deg,
            "distance": distance * u.kpc,
            "extinction": (distance + generator.normal(0, 0.05, number)) * u.mag,
            "extinction_error": np.full(number, 0.05) * u.mag,
            "class": np.where(np.arange(number) % 2, "A", "F"),
        }
    )
    stars.meta["epoch_yr"] = 2016.0
    write_table(path, stars)


def _arguments(order: int, start: str | None) -> dict:
    optimiser = {
        "method": {"kind": "adam", "epochs": 6, "batch": 64},
        "newton": {"max_steps": 0},
        "snapshots": 2,
        "checkpoint_every_s": 0,
    }
    settings = {
        "box": {"half_widths_kpc": [1.0, 1.0]},
        "prior": {},
        "likelihood": {},
        "rays": {},
        "optimiser": optimiser,
        "fits": {"fourier": {"orders": [[order, order]]}},
    }
    return {
        "name": f"fourier-{order}x{order}",
        "train": "train.h5",
        "heldout": "heldout.h5",
        "start": start,
        "settings": settings,
        "seed": 1,
        "source": "source",
    }


def _run(folder: Path, order: int, start: str | None, into: str) -> None:
    given = _arguments(order, start)
    names = {key: folder / given[key] for key in ("train", "heldout", "start") if given[key]}
    fit.run(**given | names | {"folder": folder / into})


def _stopped(folder: Path) -> None:
    """A fit whose last checkpoint is not yet followed by products."""
    with h5py.File(folder / "fit" / "checkpoint.h5", "a") as file:
        file.attrs["complete"] = False
    seals.seal(folder / "fit" / "checkpoint.h5")
    for name in ("field.h5", "fit.json", "history.h5"):
        (folder / "fit" / name).unlink()


def make(folder: Path, repository: Path) -> None:
    """All of them, in `folder`."""
    (folder / "catalogues").mkdir(parents=True)
    for name in CATALOGUES:
        write_catalogue(folder / "catalogues" / name, table())
    shutil.copy(repository / "config" / "test.yaml", folder / "config.yaml")
    shutil.copy(repository / "config" / "hipparcos.yaml", folder / "real.yaml")
    resume = folder / "resume"
    resume.mkdir()
    _selected(resume / "train.h5", 250, 1)
    _selected(resume / "heldout.h5", 40, 2)
    _run(resume, 1, None, "lower")
    _run(resume, 2, "lower/field.h5", "fit")
    shutil.copytree(resume / "fit", folder / "finished")
    _stopped(resume)
    (resume / "arguments.json").write_text(json.dumps(_arguments(2, "lower/field.h5")))
    field, attrs = load_field(folder / "finished" / "field.h5")
    grid = grid_map(field, (1.0, 1.0), (24, 20), {"estimator": attrs["estimator"], "seed": 1})
    write_map(folder / "map.zarr", grid)
