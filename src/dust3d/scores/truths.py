"""True values of a mock, against which samples of a posterior are ranked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from dust3d.fields.base import Field
from dust3d.fields.mean import VerticalMean
from dust3d.fields.sum import SumField
from dust3d.rays.gridded import GriddedField
from dust3d.scores.cells import Cells
from dust3d.scores.coverage import Ranks, coverage, normal_inside
from dust3d.scores.sky import sky_pixels
from dust3d.scores.smoothing import smoothed_density
from dust3d.scores.spectra import truncated


def _profile(field: Field, axes: Sequence[np.ndarray]) -> np.ndarray:
    """ln rho of the vertical means in a field: they have heights that its modes cannot."""
    parts = field.parts if isinstance(field, SumField) else (field,)
    on = [jnp.asarray(axis) for axis in axes]
    means = [np.asarray(p.on_grid(on)) for p in parts if isinstance(p, VerticalMean)]
    return np.sum(means, axis=0) if means else np.zeros([len(axis) for axis in axes])


def low_passed(
    truth: np.ndarray, field: Field, axes: Sequence[np.ndarray], order: Sequence[int], ball: bool
) -> np.ndarray:
    """What of a true ln rho, on all cells of the box, a fit's mean and modes can hold."""
    mean = _profile(field, axes)
    return mean + truncated(truth - mean, order, ball)


@dataclass(frozen=True)
class Truths:
    """What samples are ranked against.

    Parameters
    ----------
    extinction
        True extinctions of stars [mag].
    ends, columns
        Ends of rays all over the sky [kpc], and the extinctions out to there [mag].
    cells, ln_density
        Cells of the map, and ln rho in those that count, low-passed to the fit's modes.
    width_kpc, smoothed
        A resolution, and the density smoothed to it; none where nothing is resolved.
    """

    extinction: Ranks
    ends: np.ndarray
    columns: Ranks
    cells: Cells
    ln_density: Ranks
    width_kpc: float | None
    smoothed: Ranks | None

    @classmethod
    def of(
        cls,
        truth: GriddedField,
        truth_map: xr.Dataset,
        cells: Cells,
        *,
        positions: np.ndarray,
        ends: np.ndarray,
        low_passed_ln_density: np.ndarray,
        width_kpc: float | None,
    ) -> "Truths":
        """From a true field and its map.

        Parameters
        ----------
        truth, truth_map, cells
            The field, its map, and the cells that count.
        positions, ends
            Of the stars, and of the rays all over the sky [kpc].
        low_passed_ln_density
            On all cells, from `low_passed`.
        width_kpc
            Resolution to which densities are compared.
        """
        smoothed = None
        if width_kpc is not None:
            density = cells.whole(truth_map, "density")
            smoothed = Ranks(smoothed_density(density, cells.voxel, width_kpc)[cells.inner])
        return cls(
            Ranks(truth.extinctions(positions)),
            ends,
            Ranks(truth.extinctions(ends)),
            cells,
            Ranks(low_passed_ln_density[cells.inner]),
            width_kpc,
            smoothed,
        )

    def add(self, field: Field, gridded: GriddedField, extinction: np.ndarray) -> None:
        """Count a sample, whose extinctions of the stars are known."""
        self.extinction.add(extinction)
        self.columns.add(gridded.extinctions(self.ends))
        ln_density = np.asarray(field.on_grid([jnp.asarray(axis) for axis in self.cells.axes]))
        self.ln_density.add(ln_density[self.cells.inner])
        if self.smoothed is not None and self.width_kpc is not None:
            density = np.exp(ln_density.astype(np.float64))
            smooth = smoothed_density(density, self.cells.voxel, self.width_kpc)
            self.smoothed.add(smooth[self.cells.inner])

    def coverage(
        self, truth_map: xr.Dataset, fit_map: xr.Dataset, pixels: np.ndarray, nside: int
    ) -> dict[str, Any]:
        """How often intervals hold the truth.

        Parameters
        ----------
        truth_map, fit_map
            The latter with standard deviations and `info`.
        pixels, nside
            Pixels of the sky of the stars, and how fine they are: what is in one is not
            independent.

        Returns
        -------
        `extinction` of the stars and `column` over the sky, from samples of A alone;
        `ln_density`, low-passed truth and samples; `ln_density_total`, the whole truth and
        the total standard deviation; `smoothed_density` at `width_kpc`. The latter three in
        `all` cells and in those `informed` by stars, where info is at least 0.5.
        """
        cells = self.cells
        positions = cells.positions
        cell_pixels = sky_pixels(positions.reshape(-1, len(cells.axes)), nside)
        cell_pixels = cell_pixels.reshape(positions.shape[:-1])
        error = cells.of(truth_map, "ln_density") - cells.of(fit_map, "ln_density")
        of_cells = {
            "ln_density": self.ln_density.inside,
            "ln_density_total": normal_inside(error, cells.of(fit_map, "ln_density_std")),
        }
        if self.smoothed is not None:
            of_cells["smoothed_density"] = self.smoothed.inside
        informed = cells.informed(fit_map)
        found: dict[str, Any] = {
            "extinction": coverage(self.extinction.inside, pixels),
            "column": coverage(self.columns.inside, sky_pixels(self.ends, nside)),
        }
        for name, inside in of_cells.items():
            found[name] = {
                "all": coverage(inside, cell_pixels),
                "informed": coverage(inside, cell_pixels, informed),
            }
        if self.smoothed is not None:
            found["smoothed_density"]["width_kpc"] = self.width_kpc
        return found
