"""What each kind of input is read by, and what comes out, as arrays that can be compared."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from dust3d.config import run as config
from dust3d.config.catalogues import Catalogue
from dust3d.io.fields import load_field
from dust3d.io.history import read_history
from dust3d.io.ingest import ingest
from dust3d.io.reports import read_json
from dust3d.io.stars import read_observations
from dust3d.io.tables import read_table
from dust3d.maps.open import open_map
from dust3d.stages import fit

UNITS = {
    "ra": "deg",
    "dec": "deg",
    "pmra": "mas/yr",
    "pmdec": "mas/yr",
    "parallax": "mas",
    "parallax_error": "mas",
    "extinction": "mag",
    "extinction_error": "mag",
}
HALF_WIDTHS = (1.0, 1.0)
PLACES = SkyCoord(
    l=np.linspace(0, 350, 7) * u.deg,
    b=np.zeros(7) * u.deg,
    distance=np.linspace(0.1, 0.9, 7) * u.kpc,
    frame="galactic",
)


def _columns(table) -> dict[str, np.ndarray]:
    found = {}
    for name in table.colnames:
        column = table[name]
        # one unit per quantity is part of the contract: what a column is in is compared, too
        unit = str(getattr(column, "unit", None) or "")
        found[f"{name} [{unit}]"] = np.asarray(column)
    return found


COLUMNS = {"extinction_id": "source_id"}


def catalogue(path: Path, role: str = "extinction") -> dict[str, np.ndarray]:
    """A catalogue as ingested; CSV files get their units from the configuration."""
    units = UNITS if ".csv" in path.name else {}
    settings = Catalogue(path=str(path), epoch_yr=2016.0, units=units, columns=COLUMNS)
    return _columns(ingest(settings, role))


def configuration(path: Path) -> dict[str, np.ndarray]:
    """A configuration with all its defaults."""
    content = config.load(path)
    for name in content.fit_names():
        content.fit_settings(name)
    return {"config": np.array(json.dumps(content.model_dump(mode="json"), sort_keys=True))}


def opened(path: Path) -> dict[str, np.ndarray]:
    """Answers of a map."""
    found = open_map(path)
    return {
        "extinction": found.extinction(PLACES).to_value("mag"),
        "density": found.density(PLACES).to_value("mag / kpc"),
    }


def history(path: Path) -> dict[str, np.ndarray]:
    """A history."""
    return read_history(path)


def summary(path: Path) -> dict[str, np.ndarray]:
    """The summary of a fit."""
    return {"summary": np.array(json.dumps(read_json(path, ["likelihood"]), sort_keys=True))}


def stars(path: Path) -> dict[str, np.ndarray]:
    """A star table, as a fit takes it and whole."""
    taken = dataclasses.asdict(read_observations(path, HALF_WIDTHS))
    whole = _columns(read_table(path))
    return {name: np.asarray(value) for name, value in (taken | whole).items() if value is not None}


def resumed(path: Path) -> dict[str, np.ndarray]:
    """The field of a fit that goes on in a folder; or that of one that was never disturbed."""
    if not (path / "arguments.json").exists():
        return _arrays(path / "field.h5")
    given = json.loads((path / "arguments.json").read_text())
    names = {key: str(path / given[key]) for key in ("train", "heldout", "start") if given[key]}
    fit.run(**given | names | {"folder": str(path / "fit")})
    return _arrays(path / "fit" / "field.h5")


def _arrays(path: Path) -> dict[str, np.ndarray]:
    field, _ = load_field(path)
    return {f"{i}": np.asarray(part) for i, part in enumerate(jax.tree.leaves(field))}


READERS = {
    "catalogue": catalogue,
    "configuration": configuration,
    "opened": opened,
    "history": history,
    "summary": summary,
    "stars": stars,
    "resumed": resumed,
}
TOLERANCES = {"opened": 1e-9, "resumed": 1e-5}
"""Relative; everything else must be the same to the bit."""
