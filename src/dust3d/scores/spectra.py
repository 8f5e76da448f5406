"""How well two fields agree, mode by mode: r(k), T(k) and the resolution they imply."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.signal.windows import hann

from dust3d.fields.modes import fourier_modes


def is_flat(values: np.ndarray) -> bool:
    """Whether a field is the same everywhere: what differs is rounding, not structure."""
    return bool(np.ptp(values) <= 1e-9 * np.max(np.abs(values)))


def spectrum_of(values: np.ndarray) -> np.ndarray:
    """Fourier transform of a field without its mean, under a Hann window: no part is periodic."""
    window = np.ones(())
    for n in values.shape:
        window = np.multiply.outer(window, hann(n + 2)[1:-1])
    if is_flat(values):
        return np.zeros(values.shape, dtype=complex)
    centred = values - np.sum(values * window) / np.sum(window)
    return np.fft.fftn(centred * window)


def wavenumber_grid(shape: Sequence[int], voxel: Sequence[float]) -> np.ndarray:
    """|k| [1 / kpc] of each entry of a transform."""
    axes = [2 * np.pi * np.fft.fftfreq(n, d) for n, d in zip(shape, voxel, strict=True)]
    return np.sqrt(sum(k**2 for k in np.meshgrid(*axes, indexing="ij")))


def shell_scores(
    truth: np.ndarray, other: np.ndarray, voxel: Sequence[float], edges: np.ndarray
) -> dict[str, np.ndarray]:
    """r(k), T(k) and both power spectra in shells of |k|.

    Parameters
    ----------
    truth, other
        The fields on one grid.
    voxel
        Its voxel size along each axis [kpc].
    edges
        Edges of the shells [1 / kpc].

    Returns
    -------
    `k_per_kpc` (mean of the shell), `n` (transform entries), `r` =
    P_ft / sqrt(P_ff P_tt), `transfer` = sqrt(P_ff / P_tt), `power_truth`,
    `power_other`; shells without entries are left out.
    """
    a, b = spectrum_of(truth), spectrum_of(other)
    k = wavenumber_grid(truth.shape, voxel)
    shell = np.digitize(k.ravel(), edges) - 1
    inside = (shell >= 0) & (shell < len(edges) - 1)
    shell = shell[inside]

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(shell, values.ravel()[inside], len(edges) - 1)

    n = total(np.ones(k.shape))
    full = n > 0
    norm = truth.size**2
    tt, oo = total(np.abs(a) ** 2)[full], total(np.abs(b) ** 2)[full]
    cross = total((a * b.conj()).real)[full]
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where((tt > 0) & (oo > 0), cross / np.sqrt(tt * oo), 0.0)
        transfer = np.where(tt > 0, np.sqrt(oo / tt), 0.0)
    return {
        "k_per_kpc": (total(k)[full] / n[full]),
        "n": n[full].astype(int),
        "r": r,
        "transfer": transfer,
        "power_truth": tt / norm / n[full],
        "power_other": oo / norm / n[full],
    }


def highest_wavenumber(values: np.ndarray, voxel: Sequence[float], share: float = 0.999) -> float:
    """|k| [1 / kpc] below which a field on its whole box has this share of its variance."""
    power = np.abs(np.fft.fftn(values - values.mean())) ** 2
    k = wavenumber_grid(values.shape, voxel).ravel()
    rising = np.argsort(k, kind="stable")
    total = np.cumsum(power.ravel()[rising])
    return float(k[rising][np.searchsorted(total, share * total[-1])])


def shell_edges(
    shape: Sequence[int], voxel: Sequence[float], shells: int, highest: float
) -> np.ndarray:
    """Edges of shells of equal ratio, from the lowest mode of the longest axis to `highest`."""
    longest = max(n * d for n, d in zip(shape, voxel, strict=True))
    low = 0.75 * 2 * np.pi / longest
    high = max(2 * low, min(highest * (1 + 1e-6), np.pi / min(voxel)))
    return np.geomspace(low, high, shells + 1)


def resolution(k: np.ndarray, r: np.ndarray) -> float | None:
    """Half-wavelength pi / k [kpc] at which r(k) first falls to 0.5; none if r starts below."""
    if len(r) == 0 or r[0] < 0.5:
        return None
    below = np.flatnonzero(r < 0.5)
    if len(below) == 0:
        return float(np.pi / k[-1])
    i = below[0]
    share = (r[i - 1] - 0.5) / (r[i - 1] - r[i])
    return float(np.pi / (k[i - 1] + share * (k[i] - k[i - 1])))


def truncated(values: np.ndarray, order: Sequence[int], ball: bool) -> np.ndarray:
    """A field on the cells of its periodic box with only the modes of an order kept.

    What perfect knowledge of these modes on the whole box would give. A fit, which
    need not be right where there are no stars, can come out a little higher in shells
    whose modes the window mixes.
    """
    modes = fourier_modes(order, ball)
    spectrum = np.fft.fftn(values)
    keep = np.zeros(values.shape, dtype=bool)
    keep[(0,) * values.ndim] = True
    for sign in (1, -1):
        index = tuple((sign * modes[:, j]) % values.shape[j] for j in range(values.ndim))
        keep[index] = True
    return np.fft.ifftn(np.where(keep, spectrum, 0)).real


def summary(shells: dict[str, np.ndarray]) -> dict[str, Any]:
    """Shells as plain lists."""
    return {name: np.asarray(values).tolist() for name, values in shells.items()}
