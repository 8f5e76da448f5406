"""The stars as arrays: what the likelihood sees of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dust3d.distances import DistanceCells


@dataclass(frozen=True)
class Observations:
    """Stars with a known place and a measured extinction.

    Parameters
    ----------
    positions
        Heliocentric Galactic Cartesian [kpc], shape (n, ndim).
    extinction
        Measured extinctions [mag, A_V], shape (n,).
    sigma
        Their stated errors [mag].
    classes
        Number of each star's class, an index into `class_names`.
    class_names
        Names of the classes.
    cells
        Distance posteriors in cells, where the likelihood is averaged over them; none: the
        distances are taken as known.
    """

    positions: np.ndarray
    extinction: np.ndarray
    sigma: np.ndarray
    classes: np.ndarray
    class_names: tuple[str, ...]
    cells: DistanceCells | None = None

    def __len__(self) -> int:
        return len(self.extinction)

    @property
    def distances(self) -> np.ndarray:
        """Distances from the Sun [kpc]."""
        return np.linalg.norm(self.positions, axis=1)

    @property
    def ends(self) -> np.ndarray:
        """Where rays to the stars end [kpc]: (n, ndim); with cells (n, cells, ndim)."""
        if self.cells is None:
            return self.positions
        return (self.cells.distance / self.distances[:, None])[..., None] * self.positions[:, None]

    @property
    def rays(self) -> int:
        """Rays to each star: cells, or 1."""
        return 1 if self.cells is None else self.cells.distance.shape[1]

    @property
    def reach_kpc(self) -> float:
        """Length of the longest ray [kpc]."""
        return float(np.max(self.distances if self.cells is None else self.cells.distance))

    def take(self, rows: np.ndarray) -> "Observations":
        """The stars of these rows."""
        return replace(
            self,
            positions=self.positions[rows],
            extinction=self.extinction[rows],
            sigma=self.sigma[rows],
            classes=self.classes[rows],
            cells=None if self.cells is None else self.cells.take(rows),
        )


def joined(parts: Sequence[Observations]) -> Observations:
    """Stars of several parts, whose classes are numbered alike, one part after the other."""
    cells = [part.cells for part in parts if part.cells is not None]
    together = (
        DistanceCells(
            np.concatenate([some.distance for some in cells]),
            np.concatenate([some.spread for some in cells]),
        )
        if cells
        else None
    )
    return Observations(
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.extinction for part in parts]),
        np.concatenate([part.sigma for part in parts]),
        np.concatenate([part.classes for part in parts]),
        parts[0].class_names,
        together,
    )
