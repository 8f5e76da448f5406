"""Maps as zarr stores that `xarray.open_zarr` opens."""

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from dust3d.conventions import (
    AXES,
    DENSITY_UNIT,
    EXTINCTION_UNIT,
    FORMAT_VERSION,
    MAP_FORMAT,
    POSITION_UNIT,
)
from dust3d.errors import Dust3dError, ProductError
from dust3d.files import atomic_path
from dust3d.io.stores import check_store

_CHECKSUMS = "sha256"
_ATTRIBUTES = "attributes"
_UNITS = {
    "density": DENSITY_UNIT,
    "ln_density": "1",
    "extinction": EXTINCTION_UNIT,
    **dict.fromkeys(AXES, POSITION_UNIT),
}
VARIABLES = ("density", "ln_density", "extinction")
_OF_A_POSTERIOR = {
    "density_std": DENSITY_UNIT,
    "extinction_std": EXTINCTION_UNIT,
    "ln_density_std": "1",
    "ln_density_std_resolved": "1",
    "info": "1",
}
_CHECKED = ("half_widths_kpc", "order", "band", "frame", "units", "estimator", "provenance", "seed")


def _attribute(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else value


def _checksums(dataset: xr.Dataset) -> dict[str, str]:
    """SHA-256 of the values of each variable: zarr fills a chunk that is lost without a word.

    And of what decides how they are read; further variables and attributes may be added.
    """
    sums = {
        str(name): hashlib.sha256(variable.values.tobytes()).hexdigest()
        for name, variable in dataset.variables.items()
    }
    about = {name: dataset.attrs.get(name) for name in _CHECKED}
    text = json.dumps(about, sort_keys=True, default=lambda value: np.asarray(value).tolist())
    return sums | {_ATTRIBUTES: hashlib.sha256(text.encode()).hexdigest()}


def write_map(path: str | Path, dataset: xr.Dataset) -> None:
    """Write a map; floats are stored in float32."""
    stored = dataset.assign_attrs({k: _attribute(v) for k, v in dataset.attrs.items()})
    for name in stored.data_vars:
        if np.issubdtype(stored[name].dtype, np.floating):
            stored[name] = stored[name].astype(np.float32, keep_attrs=True)
    stored.attrs[_CHECKSUMS] = _attribute(_checksums(stored))
    with atomic_path(path) as aside:
        with warnings.catch_warnings():
            # without consolidated metadata xarray.open_zarr warns; with them zarr does, here
            warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
            stored.to_zarr(aside, mode="w", consolidated=True, zarr_format=3)


def read_map(path: str | Path) -> xr.Dataset:
    """A map, loaded into memory.

    Raises
    ------
    ProductError
        If the store is missing, damaged, of another format or format version.
    """
    path = Path(path)
    if not path.is_dir():
        raise ProductError(f"{path}: no such map; expected a zarr store (a folder)")
    try:
        check_store(path)
        # version 2 has codecs that run code
        with xr.open_zarr(path, consolidated=False, chunks=None, zarr_format=3) as store:
            _check(path, store)
            loaded = store.load()
            _check_values(path, loaded)
            return loaded
    except Dust3dError:
        raise
    # zarr and its codecs raise errors of many libraries on damaged stores
    except Exception as error:
        raise ProductError(
            f"{path}: damaged or not a zarr store ({type(error).__name__}: {error}); delete it "
            "and make it again"
        ) from error


def _check(path: Path, store: xr.Dataset) -> None:
    if store.attrs.get("format") != MAP_FORMAT:
        raise ProductError(
            f"{path}: not a {MAP_FORMAT} (its format attribute is {store.attrs.get('format')!r})"
        )
    if store.attrs.get("format_version") != FORMAT_VERSION:
        raise ProductError(
            f"{path}: format version {store.attrs.get('format_version')}, but this dust3d reads "
            f"version {FORMAT_VERSION}; make the map again, or use the dust3d that wrote it"
        )
    missing = [name for name in (*VARIABLES, *AXES) if name not in store.variables]
    if missing:
        raise ProductError(f"{path}: the map lacks {', '.join(missing)}; make it again")
    half_widths = store.attrs.get("half_widths_kpc")
    if not (isinstance(half_widths, list | tuple) and len(half_widths) in (2, 3)):
        raise ProductError(f"{path}: does not say how large its box is; make it again")
    further = {name: unit for name, unit in _OF_A_POSTERIOR.items() if name in store.variables}
    for name, unit in (_UNITS | further).items():
        if store[name].attrs.get("units") != unit:
            raise ProductError(
                f"{path}: {name} is in {store[name].attrs.get('units')!r}, where a map has "
                f"{unit!r}; make it again"
            )
        dims = (name,) if name in AXES else AXES
        if store[name].dims != dims:
            raise ProductError(f"{path}: {name} has other axes than {dims}; make it again")


def _check_cells(path: Path, loaded: xr.Dataset) -> None:
    """The coordinates are the centres of equal cells of the box."""
    for name, half in zip(AXES, loaded.attrs["half_widths_kpc"], strict=False):
        number = loaded.sizes[name]
        centres = float(half) * ((2 * np.arange(number) + 1) / number - 1)
        if not np.allclose(loaded[name].values, centres, rtol=0, atol=1e-6 * abs(float(half))):
            raise ProductError(
                f"{path}: the coordinates {name} are not the centres of cells of a box of half-"
                f"width {half} kpc; make the map again"
            )
    for name in (*VARIABLES, *_OF_A_POSTERIOR):
        if name in loaded.variables and not np.isfinite(loaded[name].values).all():
            raise ProductError(f"{path}: {name} has values that are not finite; make it again")


def _check_values(path: Path, loaded: xr.Dataset) -> None:
    expected = json.loads(loaded.attrs.get(_CHECKSUMS, "{}"))
    found = _checksums(loaded)
    changed = [name for name, digest in expected.items() if found.get(name) != digest]
    if changed:
        raise ProductError(
            f"{path}: {', '.join(changed)} is not what was written (a part is lost or damaged); "
            "delete the map and make it again"
        )
    _check_cells(path, loaded)
