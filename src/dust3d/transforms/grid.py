"""A Fourier series on the cell centres of a periodic grid that fills the box, by FFT."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@dataclass(frozen=True, eq=False)
class GridTransform:
    """The map from coefficients (a, b) of a half of k-space to a grid of ln rho.

    Parameters
    ----------
    index
        Position of each entry in the array that the inverse FFT takes.
    source
        Number of the mode that the entry comes from.
    factor
        Phase that moves the first cell from -L to the first cell's centre.
    conjugate
        Whether the entry is the conjugate one.
    shape
        Cells along each axis.
    """

    index: tuple[np.ndarray, ...]
    source: np.ndarray
    factor: np.ndarray
    conjugate: np.ndarray
    shape: tuple[int, ...]

    def __call__(self, cos: Float[Array, " k"], sin: Float[Array, " k"]) -> Float[Array, "..."]:
        """Sum of a cos(k x) + b sin(k x) at all cell centres."""
        real = cos.dtype
        complex_ = jnp.result_type(cos, 1j)
        a, b = cos[self.source], sin[self.source]
        sign = jnp.asarray(np.where(self.conjugate, 1.0, -1.0), real)
        entries = 0.5 * (a + 1j * sign * b) * jnp.asarray(self.factor, complex_)
        half = (*self.shape[:-1], self.shape[-1] // 2 + 1)
        spectrum = jnp.zeros(half, complex_).at[self.index].add(entries)
        return jnp.fft.irfftn(spectrum, s=self.shape, norm="forward")

    def modes_of(self, grid: Float[Array, "..."]) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """Cosines and sines of a function on the grid: those of a series are its own."""
        zeros = jnp.zeros(int(self.source.max()) + 1, grid.dtype)
        cos, sin = jax.linear_transpose(self, zeros, zeros)(grid)
        return 2 * cos / grid.size, 2 * sin / grid.size


def cell_centres(half_width: float, cells: int) -> np.ndarray:
    """Centres [kpc] of `cells` equal cells from -L to L."""
    return (np.arange(cells) + 0.5) * (2 * half_width / cells) - half_width


def grid_transform(modes: np.ndarray, cells: Sequence[int]) -> GridTransform:
    """Prepare the transform of these modes onto a grid of these cells.

    Raises
    ------
    ValueError
        If a mode is not below the grid's Nyquist frequency.
    """
    shape = tuple(int(n) for n in cells)
    if np.any(2 * np.abs(modes).max(axis=0) >= np.asarray(shape)):
        raise ValueError(
            f"a grid of {shape} cells cannot hold modes up to {np.abs(modes).max(axis=0)}; "
            "it needs more than two cells per shortest wavelength on each axis"
        )
    both = np.concatenate([modes, -modes])
    source = np.tile(np.arange(len(modes)), 2)
    conjugate = np.repeat([False, True], len(modes))
    # irfftn reads only entries with a last frequency >= 0; those at 0 need both signs
    stored = both[:, -1] >= 0
    both, source, conjugate = both[stored], source[stored], conjugate[stored]
    # cell j lies at -L + (j + 1/2) 2L/n:
    # exp(i pi m x / L) = exp(2 pi i m j / n) exp(i pi m (1/n - 1))
    shift = np.exp(1j * np.pi * (both * (1.0 / np.asarray(shape) - 1.0)).sum(axis=1))
    index = tuple(both[:, j] % shape[j] for j in range(both.shape[1]))
    return GridTransform(index, source, shift, conjugate, shape)
