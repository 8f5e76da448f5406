"""Which modes a Fourier field has."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np


def fourier_modes(order: Sequence[int], ball: bool = True) -> np.ndarray:
    """Integer modes m of one half of k-space, without m = 0.

    Of each pair (m, -m) the one whose first non-zero entry is positive is kept:
    cos and sin of it span both.

    Parameters
    ----------
    order
        Highest mode along each axis.
    ball
        Keep only modes with sum (m_i / order_i)^2 <= 1: where orders are
        proportional to half-widths, a ball in k.

    Returns
    -------
    Read-only, shape (n_modes, ndim), sorted by |m / order|.

    Raises
    ------
    ValueError
        If an axis has no modes.
    """
    if not order or min(order) < 1:
        raise ValueError(f"the order must be at least 1 along each axis, not {tuple(order)}")
    return _modes(tuple(int(m) for m in order), bool(ball))


@lru_cache(maxsize=32)
def _modes(order: tuple[int, ...], ball: bool) -> np.ndarray:
    ranges = [np.arange(-m, m + 1) for m in order]
    mesh = np.meshgrid(*ranges, indexing="ij")
    modes = np.stack([m.ravel() for m in mesh], axis=-1)
    nonzero = modes != 0
    first = np.take_along_axis(modes, nonzero.argmax(axis=1)[:, None], axis=1)[:, 0]
    modes = modes[nonzero.any(axis=1) & (first > 0)]
    radius = np.sum((modes / np.asarray(order)) ** 2, axis=1)
    if ball:
        inside = radius <= 1 + 1e-9
        modes, radius = modes[inside], radius[inside]
    modes = modes[np.argsort(radius, kind="stable")]
    modes.setflags(write=False)
    return modes


def wavenumbers(modes: np.ndarray, half_widths: Sequence[float]) -> np.ndarray:
    """|k| of each mode [1 / kpc], with k = pi m / L."""
    return np.linalg.norm(np.pi * modes / np.asarray(half_widths), axis=1)


def spectrum(wavenumber: np.ndarray, *, slope: float, outer_scale_kpc: float | None) -> np.ndarray:
    """(k0^2 + k^2)^(-slope / 2) with k0 = 2 pi / outer scale."""
    k0 = 0.0 if outer_scale_kpc is None else 2 * np.pi / outer_scale_kpc
    return (k0**2 + wavenumber**2) ** (-slope / 2)
