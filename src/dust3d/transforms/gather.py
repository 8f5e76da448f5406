"""Fourier series at scattered points in JAX alone: an FFT, and a gather around each point.

The coefficients are divided by the transform of a short kernel and taken by FFT to an
oversampled grid, once; the value at a point is the sum of the grid around it times the
kernel (Dutt & Rokhlin 1993). The kernel is the exponential of a semicircle of Barnett,
Magland & af Klinteberg (2019): its error falls tenfold with each cell of width. Runs on any
device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int
from scipy.fft import next_fast_len

_OVERSAMPLING = 2.0
# of the semicircle, over pi w (1 - 1 / (2 oversampling)): as in FINUFFT
_SHAPE = 0.976
_WIDEST = {4: 7, 8: 14}
# all rays start at the Sun: on a device whose threads add to one grid at a time, several
# copies of it are filled side by side
_COPIES = 8
_MOST_COPIED_CELLS = 1 << 26


@dataclass(frozen=True)
class _Kernel:
    """The grid, and the kernel between it and points.

    Parameters
    ----------
    order, half_widths
        Of the series, its first axis moved to the end.
    width
        Cells of the kernel along each axis.
    """

    order: tuple[int, ...]
    half_widths: tuple[float, ...]
    width: int

    @property
    def cells(self) -> tuple[int, ...]:
        """Cells of the grid along each axis."""
        least = (max(_OVERSAMPLING * (2 * m + 1), 2 * self.width) for m in self.order)
        sizes = (next_fast_len(int(np.ceil(n)), real=True) for n in least)
        return tuple(size for size in sizes if size is not None)

    @property
    def padded(self) -> tuple[int, ...]:
        """Cells with those that stand twice, so that no kernel reaches across a face."""
        return tuple(n + self.width for n in self.cells)

    @property
    def steepness(self) -> float:
        """Of the semicircle's exponential."""
        return _SHAPE * np.pi * self.width * (1 - 1 / (2 * _OVERSAMPLING))

    def values(self, distance):
        """The kernel at distances in cells; zero beyond half its width."""
        square = 1 - (2 * distance / self.width) ** 2
        root = jnp.sqrt(jnp.maximum(square, 0))
        return jnp.where(square >= 0, jnp.exp(self.steepness * (root - 1)), 0)

    def correction(self, axis: int) -> np.ndarray:
        """1 / (transform of the kernel) at the modes along an axis."""
        x, weight = np.polynomial.legendre.leggauss(24 + 4 * self.width)
        values = np.exp(self.steepness * (np.sqrt(1 - x**2) - 1))
        modes = np.arange(self.order[axis] + 1)
        angle = np.pi * self.width * modes[:, None] * x / self.cells[axis]
        return 1 / (self.width / 2 * np.cos(angle) @ (weight * values))

    def around(self, points: Float[Array, "n ndim"]) -> tuple[Int[Array, " n"], list[Array]]:
        """First cell of the padded grid at each point, and the weights along each axis (w, n)."""
        first, weights = jnp.zeros(points.shape[0], jnp.int32), []
        steps = jnp.arange(self.width)[:, None]
        for j, (n, stride) in enumerate(zip(self.cells, _strides(self.padded), strict=True)):
            turns = points[:, j] * np.asarray(0.5 / self.half_widths[j], points.dtype)
            cell = (turns - jnp.floor(turns)) * n
            low = jnp.ceil(cell - self.width / 2)
            weights.append(self.values(low + steps - cell))
            # the padded grid begins half a width before the first cell
            first = first + stride * (low.astype(jnp.int32) + self.width // 2)
        return first, weights


def _strides(shape: Sequence[int]) -> list[int]:
    return [int(np.prod(shape[j + 1 :])) for j in range(len(shape))]


@lru_cache(maxsize=32)
def _kernel(
    order: tuple[int, ...], half_widths: tuple[float, ...], accuracy: float, itemsize: int
) -> _Kernel:
    width = int(np.ceil(-np.log10(accuracy) - 1e-9)) + 1
    return _Kernel(
        (*order[1:], order[0]),
        (*half_widths[1:], half_widths[0]),
        int(np.clip(width, 2, _WIDEST[itemsize])),
    )


def synthesis(
    coefficients: Complex[Array, "..."],
    order: Sequence[int],
    half_widths: Sequence[float],
    points: Float[Array, "n ndim"],
    accuracy: float,
) -> Float[Array, " n"]:
    """Re sum_m c_m exp(i pi m . x / L) at points [kpc]; c as in `lattice_coefficients`."""
    kernel = _kernel(tuple(order), tuple(half_widths), accuracy, points.dtype.itemsize)
    spectrum = _corrected(kernel, jnp.moveaxis(coefficients, 0, -1))
    # Re sum c e = half the sum of c e and its conjugate; the inverse FFT adds those whose
    # last mode is not 0
    plane = spectrum[..., :1]
    mirrored = jnp.flip(plane, range(plane.ndim)).conj()
    spectrum = jnp.concatenate([plane + mirrored, spectrum[..., 1:]], axis=-1) / 2
    for axis, n in enumerate(kernel.cells):
        spectrum = _with_gap(spectrum, axis, n, half=axis == len(kernel.cells) - 1)
    grid = jnp.fft.irfftn(spectrum, s=kernel.cells, norm="forward").astype(points.dtype)
    before = kernel.width // 2
    grid = jnp.pad(grid, [(before, kernel.width - before)] * grid.ndim, mode="wrap").ravel()
    first, weights = kernel.around(jnp.roll(points, -1, axis=1))

    def add(total, row):
        offset, weight = row
        near = first[:, None] + offset + jnp.arange(kernel.width, dtype=jnp.int32)
        return total + weight * jnp.sum(grid[near] * weights[-1].T, axis=1), None

    return jax.lax.scan(add, jnp.zeros_like(first, points.dtype), _rows(kernel, weights))[0]


def analysis(
    values: Float[Array, " n"],
    order: Sequence[int],
    half_widths: Sequence[float],
    points: Float[Array, "n ndim"],
    accuracy: float,
) -> Complex[Array, "..."]:
    """The transpose of `synthesis`: sum over points of y exp(i pi m . x / L) for each mode."""
    kernel = _kernel(tuple(order), tuple(half_widths), accuracy, points.dtype.itemsize)
    first, weights = kernel.around(jnp.roll(points, -1, axis=1))
    size = int(np.prod(kernel.padded))
    copies = _copies(size)
    first = first + size * (jnp.arange(len(first), dtype=jnp.int32) % copies)

    def add(grid, row):
        offset, weight = row
        near = first[:, None] + offset + jnp.arange(kernel.width, dtype=jnp.int32)
        return grid.at[near].add((weight * values)[:, None] * weights[-1].T), None

    grid = jax.lax.scan(add, jnp.zeros(copies * size, points.dtype), _rows(kernel, weights))[0]
    grid = grid.reshape(copies, *kernel.padded).sum(axis=0)
    for axis in range(grid.ndim):
        grid = _folded(grid, axis, kernel.width)
    spectrum = jnp.fft.rfftn(grid).conj()
    for axis, m in enumerate(kernel.order):
        spectrum = _without_gap(spectrum, axis, m, half=axis == grid.ndim - 1)
    return jnp.moveaxis(_corrected(kernel, spectrum), -1, 0)


def _copies(cells: int) -> int:
    if jax.default_backend() == "cpu":
        return 1
    return int(np.clip(_MOST_COPIED_CELLS // cells, 1, _COPIES))


def _rows(kernel: _Kernel, weights: list[Array]) -> tuple[Array, Array]:
    """Offsets in the padded grid, and weights, of the rows of cells along the last axis."""
    strides = _strides(kernel.padded)[:-1]
    steps = list(product(range(kernel.width), repeat=len(strides)))
    offsets = [sum(a * b for a, b in zip(s, strides, strict=True)) for s in steps]
    total = jnp.ones((1, weights[-1].shape[1]), weights[-1].dtype)
    for weight in weights[:-1]:
        total = (total[:, None] * weight).reshape(-1, total.shape[1])
    return jnp.asarray(offsets, jnp.int32), total


def _corrected(kernel: _Kernel, spectrum: Array) -> Array:
    for axis in range(spectrum.ndim):
        factor = kernel.correction(axis)
        if axis < spectrum.ndim - 1:
            factor = np.concatenate([factor[:0:-1], factor])
        shape = [-1 if j == axis else 1 for j in range(spectrum.ndim)]
        spectrum = spectrum * factor.reshape(shape).astype(spectrum.real.dtype)
    return spectrum


def _with_gap(spectrum: Array, axis: int, cells: int, *, half: bool) -> Array:
    """Modes -m to m (half: 0 to m) in the order of an FFT of many cells."""
    present = spectrum.shape[axis]
    gap = list(spectrum.shape)
    gap[axis] = (cells // 2 + 1 if half else cells) - present
    zeros = jnp.zeros(gap, spectrum.dtype)
    if half:
        return jnp.concatenate([spectrum, zeros], axis=axis)
    low, high = jnp.split(spectrum, [present // 2], axis=axis)
    return jnp.concatenate([high, zeros, low], axis=axis)


def _without_gap(spectrum: Array, axis: int, m: int, *, half: bool) -> Array:
    """The transpose of `_with_gap`."""
    n = spectrum.shape[axis]
    high = jax.lax.slice_in_dim(spectrum, 0, m + 1, axis=axis)
    if half:
        return high
    low = jax.lax.slice_in_dim(spectrum, n - m, n, axis=axis)
    return jnp.concatenate([low, high], axis=axis)


def _folded(grid: Array, axis: int, width: int) -> Array:
    """The transpose of padding one axis by wrapping."""
    n = grid.shape[axis] - width
    before, after = width // 2, width - width // 2
    front = jax.lax.slice_in_dim(grid, 0, before, axis=axis)
    middle = jax.lax.slice_in_dim(grid, before, before + n, axis=axis)
    back = jax.lax.slice_in_dim(grid, before + n, before + n + after, axis=axis)
    pad = [[0, 0] for _ in range(grid.ndim)]
    pad[axis] = [n - before, 0]
    middle = middle + jnp.pad(front, pad)
    pad[axis] = [0, n - after]
    return middle + jnp.pad(back, pad)
