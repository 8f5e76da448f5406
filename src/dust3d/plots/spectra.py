"""How well structure of each size is recovered: power spectrum of ln rho, r(k) and T(k)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from dust3d.plots.layout import Grid, number_log_axis
from dust3d.plots.planes import edges
from dust3d.plots.style import (
    GREY,
    TRUNCATED_TRUTH,
    TRUTH,
    WAVENUMBER,
    Line,
    lines_for,
    styled,
)

_POWER = r"power of $\ln\rho$ per mode"


@dataclass(frozen=True)
class Power:
    """Power of ln rho per mode, at wavenumbers [rad / kpc]."""

    k: np.ndarray
    power: np.ndarray


def map_power(grid: xr.Dataset, shells: int = 24) -> Power:
    """Power spectrum of ln rho over the whole periodic box of a map, in shells of |k|.

    The power of a mode a cos(k.x) + b sin(k.x) is (a^2 + b^2) / 2, its share of the variance; a
    field drawn from the prior has the power s(k)^2.

    Parameters
    ----------
    grid
        Map with `ln_density` on dims (x, y, z) [kpc].
    shells
        Number of shells, evenly spaced in ln |k|; empty ones are left out.
    """
    used = [axis for axis in ("x", "y", "z") if grid.sizes[axis] > 1]
    values = np.asarray(grid["ln_density"].transpose("x", "y", "z").values, dtype=float)
    values = values.reshape([grid.sizes[axis] for axis in used])
    values = np.where(np.isfinite(values), values, np.nanmean(values))
    power = 2.0 * np.abs(np.fft.fftn(values) / values.size) ** 2
    steps = [float(np.diff(edges(grid[axis].values))[0]) for axis in used]
    waves = [
        2 * np.pi * np.fft.fftfreq(n, step) for n, step in zip(values.shape, steps, strict=True)
    ]
    k = np.sqrt(sum(w**2 for w in np.meshgrid(*waves, indexing="ij"))).ravel()
    nyquist = min(np.pi / step for step in steps)
    lowest = k[k > 0].min()
    bounds = np.geomspace(lowest * 0.999, nyquist, shells + 1)
    shell = np.digitize(k, bounds) - 1
    inside = (shell >= 0) & (shell < shells)
    number = np.bincount(shell[inside], minlength=shells)
    total = np.bincount(shell[inside], power.ravel()[inside], minlength=shells)
    mean_k = np.bincount(shell[inside], k[inside], minlength=shells)
    full = number > 0
    return Power(mean_k[full] / number[full], total[full] / number[full])


@styled
def power_spectra(spectra: Mapping[str, Power], prior: Mapping[str, Power] | None = None) -> Figure:
    """Power spectra of fits where no truth is known, with the spectrum that each prior expects.

    Parameters
    ----------
    spectra
        By name of the fit.
    prior
        Prior variance s(k)^2 of the modes, by name of the fit, where it is known.
    """
    grid = Grid([5.2], [3.4], left=0.75, top=0.5)
    ax = grid.axes[0, 0]
    prior = prior or {}
    highest = []
    for (name, spectrum), line in zip(spectra.items(), lines_for(list(spectra)), strict=True):
        k, power = _above_roundoff(spectrum)
        highest.append(power.max(initial=1e-30))
        ax.loglog(k, power, color=line.colour, ls=line.dashes, label=line.label)
        if name in prior:
            ax.loglog(prior[name].k, prior[name].power, color=line.colour, lw=0.9, ls=":")
    if prior:
        ax.plot([], [], color=GREY, lw=0.9, ls=":", label="expected by its prior")
    ax.set_ylim(top=4 * max([*highest, *(p.power.max() for p in prior.values())]))
    ax.set_ylabel(_POWER)
    _wave_axis(ax, bottom=True)
    _scale_axis(ax)
    ax.legend()
    return grid.figure


def _above_roundoff(spectrum: Power) -> tuple[np.ndarray, np.ndarray]:
    """Without the modes beyond a field's order, whose power is numerical noise."""
    seen = spectrum.power > 1e-9 * spectrum.power.max(initial=0.0)
    return spectrum.k[seen], spectrum.power[seen]


@styled
def recovery_spectra(recoveries: Mapping[str, Mapping]) -> Figure:
    """Power, correlation r(k) and ratio of amplitudes T(k) of fits to a known truth.

    T = sqrt(P_fit / P_true) whatever the phases, so that noise raises it too. Thin lines: the truth
    itself, truncated to the fit's modes on the whole periodic box and scored in the same way. A fit
    sees stars in part of the box only, and may pass it slightly where this window mixes modes.

    Parameters
    ----------
    recoveries
        `recovery` of each fit's scores, by name of the fit: `shells` with `k_per_kpc`, `r`,
        `transfer`, `power_truth`, `power_fit` and, where the fit has modes, `r_ceiling`,
        `transfer_ceiling` of the truncated truth; the effective `resolution_kpc`; and `distance`
        with `edges_kpc`, `bias` and `rms` of ln rho, drawn if all fits have it.
    """
    shown = [recovery["distance"] for recovery in recoveries.values() if recovery.get("distance")]
    heights, gaps = [2.4, 2.0, 2.0], [0.12, 0.12]
    if len(shown) == len(recoveries):
        heights, gaps = [*heights, 1.7], [*gaps, 0.6]
    grid = Grid([5.6], heights, left=0.75, top=0.5, gap_y=gaps)
    power, correlation, transfer = grid.axes[:3, 0]
    lines = lines_for(list(recoveries))
    if len(lines) == 1:
        lines = [Line(lines[0].label, "#0072B2", "-", "o")]
    first = next(iter(recoveries.values()))["shells"]
    power.loglog(
        _array(first, "k_per_kpc"), _array(first, "power_truth"), color=TRUTH, lw=2.2, label="truth"
    )
    for recovery, line in zip(recoveries.values(), lines, strict=True):
        shells = recovery["shells"]
        k = _array(shells, "k_per_kpc")
        style = {"color": line.colour, "ls": line.dashes}
        thin = {"color": line.colour, "ls": (0, (1, 1.2)), "lw": 1.2}
        power.loglog(k, _array(shells, "power_fit"), label=line.label, **style)
        correlation.plot(k, _array(shells, "r"), marker=line.marker, ms=3.2, **style)
        transfer.plot(k, _array(shells, "transfer"), marker=line.marker, ms=3.2, **style)
        if "r_ceiling" in shells:
            correlation.plot(k, _array(shells, "r_ceiling"), **thin)
            transfer.plot(k, _array(shells, "transfer_ceiling"), **thin)
    _mark_resolutions(correlation, list(recoveries.values()), lines)
    correlation.axhline(0.5, color=GREY, lw=0.7)
    transfer.axhline(1.0, color=GREY, lw=0.7)
    correlation.set(ylim=(-0.08, 1.06), ylabel=r"correlation $r(k)$")
    transfer.set(
        ylim=(-0.05, _transfer_top(recoveries)), ylabel=r"$T=\sqrt{P_\mathrm{fit}/P_\mathrm{true}}$"
    )
    power.set_ylabel(_POWER)
    _power_floor(power, first)
    correlation.plot([], [], color=GREY, ls=(0, (1, 1.2)), lw=1.2, label=TRUNCATED_TRUTH)
    correlation.plot(
        [], [], color=GREY, marker="v", ls="none", ms=5, label=r"resolution $\pi/k$ where $r=0.5$"
    )
    correlation.legend(loc="lower left")
    power.legend(loc="lower left", ncols=1 + len(lines) // 4)
    for ax in (power, correlation, transfer):
        _wave_axis(ax, bottom=ax is transfer)
    for ax in (correlation, transfer):
        ax.set_xlim(power.get_xlim())
    _scale_axis(power)
    if len(heights) > 3:
        _draw_distance(grid.axes[3, 0], shown, lines)
    return grid.figure


def _draw_distance(ax: Axes, distances: Sequence[Mapping], lines: Sequence[Line]) -> None:
    """Bias and rms error of ln rho in shells of distance."""
    for distance, line in zip(distances, lines, strict=True):
        edges = _array(distance, "edges_kpc")
        for key, width in (("rms", 1.6), ("bias", 0.9)):
            ax.stairs(_array(distance, key), edges, baseline=None, color=line.colour, lw=width)
    ax.axhline(0.0, color=GREY, lw=0.7)
    ax.plot([], [], color=GREY, lw=1.6, label="rms")
    ax.plot([], [], color=GREY, lw=0.9, label="bias")
    ax.set(xlabel="distance [kpc]", ylabel=r"error of $\ln\rho$", xlim=(0, None))
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.25 * (high - low))
    ax.legend(loc="upper left", ncols=2)


def _array(shells: Mapping, key: str) -> np.ndarray:
    values = [np.nan if value is None else value for value in shells[key]]
    return np.asarray(values, dtype=float)


def _power_floor(ax: Axes, shells: Mapping) -> None:
    truth = _array(shells, "power_truth")
    truth = truth[np.isfinite(truth) & (truth > 0)]
    if truth.size:
        ax.set_ylim(bottom=max(ax.get_ylim()[0], truth.min() / 30), top=truth.max() * 3)


def _transfer_top(recoveries: Mapping[str, Mapping]) -> float:
    values = np.concatenate([_array(r["shells"], "transfer") for r in recoveries.values()])
    values = values[np.isfinite(values)]
    return float(np.clip(1.15 * values.max(initial=1.0), 1.2, 2.5))


def _mark_resolutions(ax: Axes, recoveries: Sequence[Mapping], lines: Sequence[Line]) -> None:
    """A pointer where r(k) crosses one half; its value if there is only one fit."""
    for recovery, line in zip(recoveries, lines, strict=True):
        resolution = recovery.get("resolution_kpc")
        if resolution is None or not np.isfinite(resolution):
            continue
        k = np.pi / resolution
        ax.plot(k, 0.56, marker="v", ms=6.5, color=line.colour, ls="none", mec="white", mew=0.6)
        if len(lines) == 1:
            ax.annotate(
                f"{1000 * resolution:.0f} pc",
                (k, 0.5),
                (-4, -12),
                textcoords="offset points",
                color=line.colour,
                fontsize=8,
                ha="right",
            )


def _wave_axis(ax: Axes, *, bottom: bool) -> None:
    ax.set_xscale("log")
    number_log_axis(ax.xaxis)
    if bottom:
        ax.set_xlabel(WAVENUMBER)
    else:
        ax.tick_params(labelbottom=False, which="both")


def _scale_axis(ax: Axes) -> None:
    """The half-wavelength above the panel: the size of what a wave of this k resolves."""
    ax.tick_params(top=False, which="both")
    top = ax.secondary_xaxis("top", functions=(_half_wavelength, _half_wavelength))
    top.set_xlabel(r"half-wavelength $\pi/k$ [pc]")
    low, high = ax.get_xlim()
    top.set_xlim(1000 * np.pi / low, 1000 * np.pi / high)
    number_log_axis(top.xaxis)


def _half_wavelength(k: ArrayLike) -> ArrayLike:
    with np.errstate(divide="ignore"):
        return 1000 * np.pi / np.asarray(k, dtype=float)
