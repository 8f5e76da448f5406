"""The cells of a map that count: those in the middle of the box."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from dust3d.conventions import AXES


@dataclass(frozen=True)
class Cells:
    """The cells inside a fraction of the box.

    Parameters
    ----------
    axes
        Centres of all cells along each axis [kpc]; two in 2-D.
    inner
        Those that count.
    """

    axes: tuple[np.ndarray, ...]
    inner: tuple[slice, ...]

    @classmethod
    def inside(cls, dataset: xr.Dataset, half_widths: Sequence[float], fraction: float) -> "Cells":
        """Of a map, those within this part of each half-width [kpc]."""
        axes = tuple(dataset[name].values for name in AXES if dataset.sizes[name] > 1)
        slices = []
        for axis, half in zip(axes, half_widths, strict=True):
            inside = np.flatnonzero(np.abs(axis) <= fraction * half)
            slices.append(slice(int(inside[0]), int(inside[-1]) + 1))
        return cls(axes, tuple(slices))

    @property
    def voxel(self) -> list[float]:
        """Size of a cell along each axis [kpc]."""
        return [float(axis[1] - axis[0]) for axis in self.axes]

    @property
    def inner_axes(self) -> list[np.ndarray]:
        """Centres of the cells that count, along each axis [kpc]."""
        return [axis[part] for axis, part in zip(self.axes, self.inner, strict=True)]

    @property
    def positions(self) -> np.ndarray:
        """Centres of the cells that count [kpc], the last axis that of x, y, z."""
        return np.stack(np.meshgrid(*self.inner_axes, indexing="ij"), axis=-1)

    @property
    def distance(self) -> np.ndarray:
        """Their distances from the Sun [kpc]."""
        return np.linalg.norm(self.positions, axis=-1)

    def whole(self, dataset: xr.Dataset, name: str) -> np.ndarray:
        """A variable of a map in all cells, without the axis that a flat map lacks."""
        return np.squeeze(dataset[name].values.astype(np.float64))

    def of(self, dataset: xr.Dataset, name: str) -> np.ndarray:
        """A variable of a map in the cells that count."""
        return self.whole(dataset, name)[self.inner]

    def informed(self, dataset: xr.Dataset, least: float = 0.5) -> np.ndarray | None:
        """Where the stars took at least this part of the prior's variance; none: not known."""
        return self.of(dataset, "info") >= least if "info" in dataset else None
