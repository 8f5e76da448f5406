"""Opening a fit, a truth or a gridded map, and asking it at sky coordinates.

```python
import dust3d
m = dust3d.open_map("results/demo/fits/fourier-10x10x2")
m.extinction(SkyCoord(l=90 * u.deg, b=0 * u.deg, distance=0.4 * u.kpc, frame="galactic"))
```
"""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from astropy import units as u
from astropy.coordinates import SkyCoord
from scipy import ndimage

from dust3d import runtime
from dust3d.conventions import AXES, DENSITY_UNIT, EXTINCTION_UNIT
from dust3d.coords import cartesian_kpc
from dust3d.errors import Dust3dError, ProductError
from dust3d.fields.base import Field
from dust3d.io.fields import load_field
from dust3d.io.hdf5 import looks_like_hdf5
from dust3d.io.maps import read_map
from dust3d.progress import logger
from dust3d.rays.converged import converged_extinctions
from dust3d.rays.nodes import density_at
from dust3d.rays.settle import Settled

_QUANTITIES = {"extinction": EXTINCTION_UNIT, "density": DENSITY_UNIT}
_MODES = ("mean", "median", "std", "samples", "random_sample", "percentile")
_WHAT_TO_GIVE = "give a fit's or a truth's folder, its field.h5, or a map's .zarr"
_TOLERANCE_MAG = 1e-5
_MOST_NODES = 1 << 13
_BATCH = 1 << 14


class DustMap:
    """A map of dust that answers at sky coordinates.

    Parameters
    ----------
    half_widths
        Of the box [kpc].
    attrs
        What the map says of itself: estimator, order, provenance.
    """

    def __init__(self, half_widths: tuple[float, ...], attrs: dict[str, Any]):
        self.half_widths, self.attrs = half_widths, attrs

    def _density(self, positions: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _extinction(self, positions: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def query(
        self, coords: SkyCoord, *, quantity: str = "extinction", mode: str = "mean"
    ) -> u.Quantity:
        """A quantity at coordinates with distances.

        Parameters
        ----------
        coords
            Any frame, any shape.
        quantity
            `extinction`, from the Sun to there [mag, A_V], or `density` [mag / kpc].
        mode
            `mean`: the map's estimate (`attrs["estimator"]` says which).

        Returns
        -------
        Of the shape of the coordinates; NaN outside the box.

        Raises
        ------
        UnitsError
            If the coordinates have no distance with a unit.
        Dust3dError
            If the quantity or the mode is not known.
        """
        if quantity not in _QUANTITIES:
            raise Dust3dError(f"quantity {quantity!r} is unknown; use {' or '.join(_QUANTITIES)}")
        if mode not in _MODES:
            raise Dust3dError(f"mode {mode!r} is unknown; use mode='mean'")
        if mode != "mean":
            raise Dust3dError(
                f"mode {mode!r} needs a posterior, and this map has none (its estimator is "
                f"{self.attrs.get('estimator', 'not stated')!r}); use mode='mean'"
            )
        xyz = cartesian_kpc(coords)
        ndim = len(self.half_widths)
        flat = xyz.reshape(-1, 3)
        inside = (np.abs(flat[:, :ndim]) <= np.asarray(self.half_widths)).all(axis=1)
        if ndim == 2:
            inside &= np.abs(flat[:, 2]) <= 1e-3 * np.linalg.norm(flat, axis=1)
        values = np.full(len(flat), np.nan)
        if inside.any():
            function = self._extinction if quantity == "extinction" else self._density
            values[inside] = function(flat[inside, :ndim])
        return values.reshape(xyz.shape[:-1]) * u.Unit(_QUANTITIES[quantity])

    def extinction(self, coords: SkyCoord) -> u.Quantity:
        """Extinction from the Sun to coordinates with distances [mag, A_V]."""
        return self.query(coords, quantity="extinction")

    def density(self, coords: SkyCoord) -> u.Quantity:
        """Density dA/ds at coordinates with distances [mag / kpc]."""
        return self.query(coords, quantity="density")


class FieldMap(DustMap):
    """A map that is a field: exact at every position."""

    def __init__(self, field: Field, half_widths: tuple[float, ...], attrs: dict[str, Any]):
        super().__init__(half_widths, attrs)
        self.field = field

    def _density(self, positions: np.ndarray) -> np.ndarray:
        return density_at(self.field, positions)

    def _extinction(self, positions: np.ndarray) -> np.ndarray:
        """To a hundredth of a millimagnitude; coordinates in one direction share the work."""
        return converged_extinctions(
            self.field,
            positions,
            _TOLERANCE_MAG,
            batch=_BATCH,
            most_nodes=_MOST_NODES,
            report=_warn_of_moving,
        )


def _warn_of_moving(_: int, settled: Settled) -> None:
    if settled.moving.any():
        logger.warning(
            "%d extinctions still change by up to %.2g mag at %d nodes a ray: the field is finer "
            "than that",
            settled.moving.sum(),
            settled.largest_mag,
            settled.finest,
        )


class GridMap(DustMap):
    """A map on a grid: linear between the cells' centres.

    Of extinctions it is the mean density of the ray, A / distance, that is linear: it is
    smooth across the Sun, where A has a cusp, and so A is 0 there.
    """

    def __init__(self, dataset: xr.Dataset):
        half_widths = tuple(float(h) for h in dataset.attrs["half_widths_kpc"])
        super().__init__(half_widths, dict(dataset.attrs))
        axes = AXES[: len(half_widths)]
        cells = tuple(dataset.sizes[name] for name in axes)
        self._first = np.array([dataset[name].values[0] for name in axes])
        self._step = 2 * np.array(half_widths) / cells
        self._values = dataset["density"].values.reshape(cells)
        mesh = np.meshgrid(*(dataset[name].values for name in axes), indexing="ij", sparse=True)
        distance = np.sqrt(sum(axis**2 for axis in mesh))
        extinction = dataset["extinction"].values.reshape(cells)
        # in a cell centred on the Sun, the mean over no ray is the density there
        self._means = np.divide(
            extinction, distance, out=self._values.astype(np.float64), where=distance > 0
        )

    def _read(self, values: np.ndarray, positions: np.ndarray) -> np.ndarray:
        cell = (positions - self._first) / self._step
        return ndimage.map_coordinates(values, cell.T, order=1, mode="nearest")

    def _density(self, positions: np.ndarray) -> np.ndarray:
        return self._read(self._values, positions)

    def _extinction(self, positions: np.ndarray) -> np.ndarray:
        return self._read(self._means, positions) * np.linalg.norm(positions, axis=1)


def open_map(path: str | Path) -> DustMap:
    """Open a fit's folder, a truth's folder, their `field.h5`, or a map's zarr store.

    Raises
    ------
    ProductError
        If there is nothing that can be opened, or it is damaged or of another format;
        of a run's folder the message names the maps in it.
    """
    runtime.configure()
    path = Path(path)
    if not path.exists():
        raise ProductError(f"{path}: no such fit, truth or map; {_WHAT_TO_GIVE}")
    if (path / "zarr.json").exists() or path.suffix == ".zarr":
        dataset = read_map(path)
        _check_box(path, dataset.attrs)
        return GridMap(dataset)
    field_file = path / "field.h5" if path.is_dir() else path
    if not field_file.is_file():
        raise ProductError(_nothing_here(path))
    if not looks_like_hdf5(field_file):
        raise ProductError(f"{path}: not an HDF5 file; {_WHAT_TO_GIVE}")
    field, attrs = load_field(field_file)
    _check_box(field_file, attrs)
    return FieldMap(field, tuple(attrs["half_widths_kpc"]), attrs)


def _nothing_here(folder: Path) -> str:
    """What to give in place of a folder that is no map but may hold some."""
    fits = {found.parent for levels in ("*", "*/*") for found in folder.glob(f"{levels}/field.h5")}
    grids = {found for levels in ("*", "*/*") for found in folder.glob(f"{levels}.zarr")}
    if fits or grids:
        known = ", ".join(str(found) for found in (*sorted(fits), *sorted(grids)))
        return f"{folder}: is no map itself; give one of {known}"
    return (
        f"{folder}: holds neither a field.h5 nor a zarr store; is the fit finished? Else "
        f"{_WHAT_TO_GIVE}"
    )


def _check_box(path: Path, attrs: dict[str, Any]) -> None:
    if "half_widths_kpc" not in attrs:
        raise ProductError(f"{path}: does not say how large its box is; make it again")
    found = attrs["half_widths_kpc"]
    plain = isinstance(found, list | tuple) and all(isinstance(h, int | float) for h in found)
    if not (plain and len(found) in (2, 3) and all(0 < h < np.inf for h in found)):
        raise ProductError(
            f"{path}: its box has the half-widths {found!r}, where two or three positive numbers "
            "are needed; make it again"
        )
