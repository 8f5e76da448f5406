"""Where a fit takes its stars from: memory, or a table that is read batch by batch."""

from typing import Protocol, runtime_checkable

import numpy as np

from dust3d.inference.accuracy import sample_rows
from dust3d.inference.batches import batch_order
from dust3d.keys import generator_for
from dust3d.observations import Observations


@runtime_checkable
class StarSource(Protocol):
    """Stars, and the order in which batches take them.

    `class_names` as of `Observations`; `reach_kpc` is the longest ray [kpc]; `sample`
    is a random sample that stands for all stars.
    """

    class_names: tuple[str, ...]
    reach_kpc: float
    sample: Observations

    def __len__(self) -> int: ...

    def resident(self) -> Observations:
        """All stars in memory, as their table has them."""
        ...

    def some(self, rows: np.ndarray) -> Observations:
        """The stars of some rows of the table, which rise."""
        ...

    def order(self) -> np.ndarray:
        """Rows of the table in the order of the batches."""
        ...

    def take(self, first: int, last: int) -> Observations:
        """The stars from one place of the order up to another."""
        ...


def shuffled(n: int, seed: int) -> np.ndarray:
    """Rows of the training stars in the order of a run's batches."""
    return batch_order(n, generator_for(seed, "batches"))


class ResidentStars:
    """Stars in memory.

    Parameters
    ----------
    observations
        The stars.
    seed
        The run's seed, for the sample.
    order
        Their rows in the order of the batches; none: as they stand.
    """

    def __init__(self, observations: Observations, seed: int, order: np.ndarray | None = None):
        self._observations = observations
        self._order = np.arange(len(observations)) if order is None else order
        self.class_names = observations.class_names
        self.reach_kpc = observations.reach_kpc
        self.sample = observations.take(sample_rows(len(observations), seed))

    def __len__(self) -> int:
        return len(self._observations)

    def resident(self) -> Observations:
        """All stars in memory, as their table has them."""
        return self._observations

    def some(self, rows: np.ndarray) -> Observations:
        """The stars of some rows of the table, which rise."""
        return self._observations.take(rows)

    def order(self) -> np.ndarray:
        """Rows of the table in the order of the batches."""
        return self._order

    def take(self, first: int, last: int) -> Observations:
        """The stars from one place of the order up to another."""
        return self._observations.take(self._order[first:last])
