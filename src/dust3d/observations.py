"""The stars as arrays: what the likelihood sees of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


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
    """

    positions: np.ndarray
    extinction: np.ndarray
    sigma: np.ndarray
    classes: np.ndarray
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.extinction)

    @property
    def distances(self) -> np.ndarray:
        """Distances from the Sun [kpc]."""
        return np.linalg.norm(self.positions, axis=1)

    def take(self, rows: np.ndarray) -> "Observations":
        """The stars of these rows."""
        return replace(
            self,
            positions=self.positions[rows],
            extinction=self.extinction[rows],
            sigma=self.sigma[rows],
            classes=self.classes[rows],
        )


def joined(parts: Sequence[Observations]) -> Observations:
    """Stars of several parts, whose classes are numbered alike, one part after the other."""
    return Observations(
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.extinction for part in parts]),
        np.concatenate([part.sigma for part in parts]),
        np.concatenate([part.classes for part in parts]),
        parts[0].class_names,
    )
