"""What the products of a run say of where they come from, each kind in its own way."""

import csv
import json
from pathlib import Path
from typing import Any

import h5py
import xarray as xr
from astropy.table import QTable
from PIL import Image

PARTS = ("versions", "config_digest", "source_digest", "seed", "device")
# of a run's folder these are no products
_NO_PRODUCTS = ("logs", "benchmarks", "report.html")


def origins(results: Path) -> dict[Path, dict[str, Any]]:
    """Product -> what it says; an empty answer where it says nothing."""
    found = {}
    for path in sorted(results.rglob("*")):
        inside = path.relative_to(results).parts
        in_map = any(part.endswith(".zarr") for part in inside[:-1])
        if inside[0] in _NO_PRODUCTS or in_map:
            continue
        if path.is_file() or path.suffix == ".zarr":
            found[path] = _origin(path)
    return found


def lacks(origin: dict[str, Any]) -> list[str]:
    """What an origin does not say."""
    return [part for part in PARTS if origin.get(part) in (None, "", {}, [])]


def _origin(path: Path) -> dict[str, Any]:
    if path.suffix == ".zarr":
        origin = xr.open_zarr(path).attrs.get("provenance", {})
        return json.loads(origin) if isinstance(origin, str) else origin
    if path.suffix == ".h5":
        return _of_hdf5(path)
    if path.suffix == ".json":
        return json.loads(path.read_text()).get("provenance", {})
    if path.suffix == ".csv":
        with open(path, newline="") as file:
            return next(csv.DictReader(file))
    with Image.open(path) as image:
        text = image.info.get("Description") or image.info.get("comment", b"{}").decode()
    return json.loads(text)


def _of_hdf5(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        if "provenance" in file.attrs:
            return json.loads(str(file.attrs["provenance"]))
        name = next(name for name in file if not name.endswith("meta__"))
    return QTable.read(path, path=name).meta.get("provenance", {})
