"""Opening a fit, a truth or a gridded map, and asking it at sky coordinates.

```python
import dust3d
m = dust3d.open_map("results/demo/fits/fourier-10x10x2")
m.extinction(SkyCoord(l=90 * u.deg, b=0 * u.deg, distance=0.4 * u.kpc, frame="galactic"))
```
"""

from collections.abc import Callable, Sequence
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
from dust3d.fields.sum import in_cosines
from dust3d.io.fields import load_field
from dust3d.io.hdf5 import looks_like_hdf5
from dust3d.io.maps import read_map
from dust3d.io.samples import SAMPLES_FILE, Samples, load_samples
from dust3d.maps.moments import Moments
from dust3d.progress import logger
from dust3d.provenance import file_digest
from dust3d.rays.converged import converged_extinctions
from dust3d.rays.nodes import density_at
from dust3d.rays.settle import Settled

_QUANTITIES = {"extinction": EXTINCTION_UNIT, "density": DENSITY_UNIT}
_MODES = ("mean", "median", "std", "samples", "random_sample", "percentile")
Percentiles = float | int | Sequence[float | int]
Reader = Callable[[np.ndarray, str], np.ndarray]
"""From positions [kpc] inside the box, and the name of a quantity, to its values."""
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

    def _values(self, positions: np.ndarray, quantity: str) -> np.ndarray:
        """The map's estimate at positions [kpc] inside the box."""
        raise NotImplementedError

    def _std(self, positions: np.ndarray, quantity: str) -> np.ndarray:
        """Standard deviation there."""
        raise Dust3dError(self._no_posterior("std"))

    def _all_samples(
        self, positions: np.ndarray, quantity: str, chosen: Sequence[int] | None = None
    ) -> np.ndarray:
        """All samples there, or chosen ones: shape (positions, samples)."""
        raise NotImplementedError

    @property
    def number_of_samples(self) -> int:
        """Samples of the posterior that the map has."""
        return 0

    def _no_posterior(self, mode: str) -> str:
        return (
            f"mode {mode!r} needs a posterior, and this map has none (its estimator is "
            f"{self.attrs.get('estimator', 'not stated')!r}); use mode='mean', or make the run "
            "with a section `posterior` in its configuration"
        )

    def _reader(
        self, mode: str, pct: Percentiles | None, seed: int | None
    ) -> tuple[Reader, tuple[int, ...]]:
        """What answers at positions, and the further axes of its answers."""
        if mode not in _MODES:
            raise Dust3dError(f"mode {mode!r} is unknown; use one of {', '.join(_MODES)}")
        if (pct is not None) != (mode == "percentile"):
            raise Dust3dError("`pct` goes with mode='percentile', and that mode needs it")
        if mode == "mean":
            return self._values, ()
        if mode == "std":
            return self._std, ()
        number = self.number_of_samples
        if not number:
            raise Dust3dError(self._no_posterior(mode))
        if mode == "samples":
            return self._all_samples, (number,)
        if mode == "random_sample":
            chosen = int(np.random.default_rng(seed).integers(number))
            return lambda p, q: self._all_samples(p, q, [chosen])[:, 0], ()
        wanted = np.asarray(50.0 if pct is None else pct, dtype=np.float64)
        lowest = 100 / (number + 1)
        if wanted.ndim > 1 or not np.all((wanted >= lowest) & (wanted <= 100 - lowest)):
            raise Dust3dError(
                f"pct = {pct}: {number} samples support percentiles from {lowest:.3g} to "
                f"{100 - lowest:.4g}; ask for one of these, or draw more (posterior.samples)"
            )

        def percentiles(positions: np.ndarray, quantity: str) -> np.ndarray:
            found = self._all_samples(positions, quantity)
            # the i-th of n values is at i / (n + 1)
            return np.percentile(found, wanted, axis=1, method="weibull").T

        return percentiles, wanted.shape

    def query(
        self,
        coords: SkyCoord,
        *,
        quantity: str = "extinction",
        mode: str = "mean",
        pct: Percentiles | None = None,
        seed: int | None = None,
    ) -> u.Quantity:
        """A quantity at coordinates with distances.

        Parameters
        ----------
        coords
            Any frame, any shape.
        quantity
            `extinction`, from the Sun to there [mag, A_V], or `density` [mag / kpc].
        mode
            `mean`: the map's estimate (`attrs["estimator"]` says which). With a posterior also
            `std`, `median`, `percentile`, `samples` (further axis: samples) and `random_sample`,
            one of them, the same at all coordinates. The spread is that of the fit's own modes:
            structure finer than its order is not in it.
        pct
            Percentiles of `percentile`: one, or a list, which makes a further axis.
        seed
            Chooses the random sample.

        Returns
        -------
        Of the shape of the coordinates, and the further axis last; NaN outside the box.

        Raises
        ------
        UnitsError
            If the coordinates have no distance with a unit.
        Dust3dError
            If the quantity or the mode is not known, there is no posterior, or it has too few
            samples for a percentile.
        """
        if quantity not in _QUANTITIES:
            raise Dust3dError(f"quantity {quantity!r} is unknown; use {' or '.join(_QUANTITIES)}")
        read, further = self._reader(mode, pct, seed)
        xyz = cartesian_kpc(coords)
        ndim = len(self.half_widths)
        flat = xyz.reshape(-1, 3)
        inside = (np.abs(flat[:, :ndim]) <= np.asarray(self.half_widths)).all(axis=1)
        if ndim == 2:
            inside &= np.abs(flat[:, 2]) <= 1e-3 * np.linalg.norm(flat, axis=1)
        values = np.full((len(flat), *further), np.nan)
        if inside.any():
            values[inside] = read(flat[inside, :ndim], quantity)
        return values.reshape(xyz.shape[:-1] + further) * u.Unit(_QUANTITIES[quantity])

    def extinction(self, coords: SkyCoord) -> u.Quantity:
        """Extinction from the Sun to coordinates with distances [mag, A_V]."""
        return self.query(coords, quantity="extinction")

    def density(self, coords: SkyCoord) -> u.Quantity:
        """Density dA/ds at coordinates with distances [mag / kpc]."""
        return self.query(coords, quantity="density")


class FieldMap(DustMap):
    """A map that is a field: exact at every position; or many, the samples of a posterior.

    Parameters
    ----------
    field
        The field that a fit ended with.
    half_widths, attrs
        As of `DustMap`.
    samples
        Of the posterior around it; `mean` is then the mean over them.
    """

    def __init__(
        self,
        field: Field,
        half_widths: tuple[float, ...],
        attrs: dict[str, Any],
        samples: Samples | None = None,
    ):
        if samples is not None:
            attrs = attrs | samples.estimator
        super().__init__(half_widths, attrs)
        self.field, self.samples = field, samples

    @property
    def number_of_samples(self) -> int:
        """Samples of the posterior."""
        return 0 if self.samples is None else len(self.samples)

    def _values(self, positions: np.ndarray, quantity: str) -> np.ndarray:
        if self.samples is None:
            return _of_field(self.field, positions, quantity)
        return self._moments(self.samples, positions, quantity).mean

    def _std(self, positions: np.ndarray, quantity: str) -> np.ndarray:
        if self.samples is None:
            return super()._std(positions, quantity)
        return self._moments(self.samples, positions, quantity).std

    def _moments(self, samples: Samples, positions: np.ndarray, quantity: str) -> Moments:
        moments = Moments()
        for field in samples.fields:
            moments.add(_of_field(field, positions, quantity))
        return moments

    def _all_samples(
        self, positions: np.ndarray, quantity: str, chosen: Sequence[int] | None = None
    ) -> np.ndarray:
        assert self.samples is not None
        fields = self.samples.fields
        some = fields if chosen is None else [fields[i] for i in chosen]
        return np.stack([_of_field(field, positions, quantity) for field in some], axis=1)


def _of_field(field: Field, positions: np.ndarray, quantity: str) -> np.ndarray:
    """Densities; or extinctions to a hundredth of a millimagnitude, those of a ray together."""
    if quantity == "density":
        return density_at(field, positions)
    return converged_extinctions(
        field,
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
        mesh = np.meshgrid(*(dataset[name].values for name in axes), indexing="ij", sparse=True)
        distance = np.sqrt(sum(axis**2 for axis in mesh))
        self._grids: dict[str, np.ndarray] = {}
        for ending in ("", "_std"):
            if f"density{ending}" not in dataset or f"extinction{ending}" not in dataset:
                continue
            density = dataset[f"density{ending}"].values.reshape(cells).astype(np.float64)
            extinction = dataset[f"extinction{ending}"].values.reshape(cells)
            self._grids[f"density{ending}"] = density
            # in a cell centred on the Sun, the mean over no ray is the density there
            self._grids[f"extinction{ending}"] = np.divide(
                extinction, distance, out=density.copy(), where=distance > 0
            )

    def _read(self, positions: np.ndarray, name: str) -> np.ndarray:
        cell = (positions - self._first) / self._step
        found = ndimage.map_coordinates(self._grids[name], cell.T, order=1, mode="nearest")
        return found * np.linalg.norm(positions, axis=1) if "extinction" in name else found

    def _values(self, positions: np.ndarray, quantity: str) -> np.ndarray:
        return self._read(positions, quantity)

    def _std(self, positions: np.ndarray, quantity: str) -> np.ndarray:
        if f"{quantity}_std" not in self._grids:
            return super()._std(positions, quantity)
        return self._read(positions, f"{quantity}_std")

    def _no_posterior(self, mode: str) -> str:
        if "density_std" in self._grids:
            return f"mode {mode!r} needs samples, and a map's grid has none; open the fit's folder"
        return super()._no_posterior(mode)


def open_map(path: str | Path, *, samples: bool = True) -> DustMap:
    """Open a fit's folder, a truth's folder, their `field.h5`, or a map's zarr store.

    Parameters
    ----------
    path
        What to open.
    samples
        Whether the samples of a fit's posterior are taken along where they are; without them
        answers are those of the maximum, and come sooner.

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
    found = _samples_beside(field_file, field) if samples else None
    return FieldMap(field, tuple(attrs["half_widths_kpc"]), attrs, found)


def _samples_beside(field_file: Path, field: Field) -> Samples | None:
    """The samples around a fit, if there are any: not those around an earlier one."""
    path = field_file.with_name(SAMPLES_FILE)
    if not path.is_file():
        return None
    samples = load_samples(path, in_cosines(field))
    if samples.of_fit != file_digest(field_file):
        logger.warning(
            "%s: samples around another fit than %s, not used; run again with `posterior`, or "
            "delete them",
            path,
            field_file.name,
        )
        return None
    return samples


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
