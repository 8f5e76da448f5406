"""The modes of a Fourier fit in k-space: where its amplitudes lie, and how they fall with |k|."""

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from dust3d.plots.layout import Grid, number_log_axis
from dust3d.plots.style import BLACK, GREY, NO_DATA, VERMILION, WAVENUMBER, fit_label, styled

_AMPLITUDE = r"amplitude of $\ln\rho$"


def amplitudes(
    cos: Float[np.ndarray, " modes"], sin: Float[np.ndarray, " modes"]
) -> Float[np.ndarray, " modes"]:
    """Root mean square of a mode's two coefficients: sqrt((a^2 + b^2) / 2)."""
    return np.sqrt((np.asarray(cos) ** 2 + np.asarray(sin) ** 2) / 2)


def wave_vectors(
    modes: Int[np.ndarray, "modes ndim"], half_widths: Float[np.ndarray, " ndim"]
) -> Float[np.ndarray, "modes ndim"]:
    """k = pi m / L [rad / kpc]."""
    return np.pi * np.asarray(modes) / np.asarray(half_widths)


def rms_on_plane(
    modes: Int[np.ndarray, "modes ndim"], amplitude: Float[np.ndarray, " modes"]
) -> Float[np.ndarray, "nx ny"]:
    """Root mean square over m_z of the amplitudes at each (m_x, m_y), of both k and -k.

    The middle of the array is k = 0; places without a mode are NaN.
    """
    reach = np.abs(modes[:, :2]).max(axis=0)
    total = np.zeros(2 * reach + 1)
    number = np.zeros_like(total)
    for sign in (1, -1):
        place = tuple((sign * modes[:, :2] + reach).T)
        np.add.at(total, place, amplitude**2)
        np.add.at(number, place, 1)
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.where(number > 0, total / number, np.nan))


def rms_on_cylinder(
    modes: Int[np.ndarray, "modes ndim"],
    half_widths: Float[np.ndarray, " ndim"],
    amplitude: Float[np.ndarray, " modes"],
) -> tuple[Float[np.ndarray, " edges"], Float[np.ndarray, "nr nz"]]:
    """Root mean square amplitude in rings of |k_xy| at each |m_z|: the rings' edges, the values."""
    across = np.linalg.norm(wave_vectors(modes, half_widths)[:, :2], axis=1)
    step = np.pi / max(half_widths[:2])
    ring = np.rint(across / step).astype(int)
    height = np.abs(modes[:, 2])
    total = np.zeros((ring.max() + 1, height.max() + 1))
    number = np.zeros_like(total)
    np.add.at(total, (ring, height), amplitude**2)
    np.add.at(number, (ring, height), 1)
    edges = (np.arange(ring.max() + 2) - 0.5) * step
    with np.errstate(invalid="ignore"):
        return edges, np.sqrt(np.where(number > 0, total / number, np.nan))


@styled
def mode_figure(
    name: str,
    modes: Int[np.ndarray, "modes ndim"],
    half_widths: Float[np.ndarray, " ndim"],
    cos: Float[np.ndarray, " modes"],
    sin: Float[np.ndarray, " modes"],
    scales: Float[np.ndarray, " modes"] | None = None,
    *,
    colours: str = "viridis",
) -> Figure:
    """Amplitudes in the (k_x, k_y) plane, in (|k_xy|, |k_z|) if 3-D, and against |k|.

    Parameters
    ----------
    name
        Name of the fit.
    modes
        Integer modes m of half of k-space.
    half_widths
        Half-widths L of the box [kpc].
    cos, sin
        Coefficients a and b.
    scales
        Prior standard deviation of each coefficient, drawn against |k|.
    colours
        Colour map of the amplitudes.
    """
    modes, half_widths = np.asarray(modes), np.asarray(half_widths, dtype=float)
    amplitude = amplitudes(cos, sin)
    deep = modes.shape[1] == 3
    plane = rms_on_plane(modes, amplitude)
    finite = amplitude[amplitude > 0]
    high = float(finite.max()) if finite.size else 1.0
    norm = LogNorm(max(high * 1e-4, float(np.percentile(finite, 1)) if finite.size else 1e-4), high)
    widths = [2.7, 1.9, 3.0] if deep else [2.7, 3.4]
    gaps = [0.62, 1.4] if deep else [1.4]
    grid = Grid(widths, [2.7], gap_x=gaps, left=0.6, right=0.15)
    _draw_plane(grid.axes[0, 0], modes, half_widths, plane, norm, colours)
    grid.axes[0, 0].set_title(fit_label(name))
    if deep:
        _draw_cylinder(grid.axes[0, 1], modes, half_widths, amplitude, norm, colours)
    grid.bar((0, 0), norm, colours, _AMPLITUDE, column=1 if deep else 0)
    _draw_radial(grid.axes[0, -1], modes, half_widths, amplitude, scales)
    return grid.figure


def _draw_plane(
    ax: Axes,
    modes: np.ndarray,
    half_widths: np.ndarray,
    plane: np.ndarray,
    norm: LogNorm,
    colours: str,
) -> None:
    reach = (np.array(plane.shape) // 2 + 0.5) * np.pi / half_widths[:2]
    ax.set_facecolor(NO_DATA)
    ax.imshow(
        np.ma.masked_invalid(plane.T),
        origin="lower",
        norm=norm,
        cmap=colours,
        aspect="auto",
        extent=(-reach[0], reach[0], -reach[1], reach[1]),
    )
    ax.set(xlabel=r"$k_x$ [rad / kpc]", ylabel=r"$k_y$ [rad / kpc]")
    ax.locator_params(nbins=5)


def _draw_cylinder(
    ax: Axes,
    modes: np.ndarray,
    half_widths: np.ndarray,
    amplitude: np.ndarray,
    norm: LogNorm,
    colours: str,
) -> None:
    rings, values = rms_on_cylinder(modes, half_widths, amplitude)
    step = np.pi / half_widths[2]
    heights = (np.arange(values.shape[1] + 1) - 0.5) * step
    ax.set_facecolor(NO_DATA)
    ax.pcolormesh(rings, heights, np.ma.masked_invalid(values.T), norm=norm, cmap=colours)
    ax.set(xlim=(0, rings[-1]), ylim=(0, heights[-1]))
    ax.set(xlabel=r"$|k_{xy}|$ [rad / kpc]", ylabel=r"$|k_z|$ [rad / kpc]")
    ax.locator_params(nbins=5)


def _draw_radial(
    ax: Axes,
    modes: np.ndarray,
    half_widths: np.ndarray,
    amplitude: np.ndarray,
    scales: np.ndarray | None,
) -> None:
    k = np.linalg.norm(wave_vectors(modes, half_widths), axis=1)
    size = 4.0 if k.size < 1000 else 1.5
    ax.scatter(k, amplitude, s=size, color=GREY, alpha=0.45, lw=0, label="modes", rasterized=True)
    bounds = np.geomspace(k.min() * 0.999, k.max() * 1.001, 13)
    shell = np.digitize(k, bounds) - 1
    number = np.bincount(shell, minlength=12)
    full = number > 0
    mean = np.sqrt(np.bincount(shell, amplitude**2, minlength=12)[full] / number[full])
    mean_k = np.bincount(shell, k, minlength=12)[full] / number[full]
    ax.plot(mean_k, mean, "o-", color=BLACK, ms=3.5, label="rms in shells")
    if scales is not None:
        order = np.argsort(k)
        ax.plot(k[order], np.asarray(scales)[order], color=VERMILION, ls="--", label="prior")
    ax.set(xscale="log", xlabel=WAVENUMBER, ylabel=_AMPLITUDE)
    shown = amplitude[amplitude > 0]
    if shown.size:
        ax.set_yscale("log")
        ax.set_ylim(bottom=float(np.percentile(shown, 0.5)) / 2)
    number_log_axis(ax.xaxis)
    ax.legend(loc="lower left")
