"""Mean and standard deviation of arrays that come one after the other."""

import numpy as np
from jaxtyping import Float

Values = Float[np.ndarray, "..."]


class Moments:
    """Running mean and variance (Welford 1962): one array in memory at a time."""

    def __init__(self):
        self._number = 0
        self.mean: Values = np.zeros(())
        self._square: Values = np.zeros(())

    def add(self, values: Values) -> None:
        """One more array, of the shape of the others."""
        values = values.astype(np.float64)
        self._number += 1
        change = values - self.mean
        self.mean = self.mean + change / self._number
        self._square = self._square + change * (values - self.mean)

    @property
    def std(self) -> Values:
        """Standard deviation of a sample: over n - 1."""
        return np.sqrt(self._square / max(1, self._number - 1))
