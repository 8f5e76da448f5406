"""One look for all figures: type, colours that colour-blind readers can tell apart, units."""

import functools
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from dust3d.conventions import DENSITY_UNIT, EXTINCTION_UNIT

BLACK = "#000000"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#7F7F7F"
"""Okabe & Ito (2008): distinct in every common form of colour blindness."""

TRUTH = BLACK
NO_DATA = "#D9D9D9"
DIFFERENCE_MAP = "RdBu_r"

DENSITY = rf"density $\rho$ [{DENSITY_UNIT}]"
EXTINCTION = rf"$A_V$ [{EXTINCTION_UNIT}]"
LN_DENSITY_DIFFERENCE = r"$\ln(\rho_\mathrm{fit}\,/\,\rho_\mathrm{true})$"
TRUNCATED_TRUTH = "truth cut to the fit's modes"
WAVENUMBER = r"wavenumber $k$ [rad / kpc]"

_RC: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "axes.linewidth": 0.7,
    "axes.titlepad": 5.0,
    "axes.labelpad": 3.0,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "image.interpolation": "nearest",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.unicode_minus": True,
}

P = ParamSpec("P")
R = TypeVar("R")


def _use_style() -> None:
    for key, value in _RC.items():
        matplotlib.rcParams[key] = value


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function build its figure in the style of dust3d, whatever the user's own is."""

    @functools.wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            _use_style()
            return function(*args, **kwargs)

    return inside


@dataclass(frozen=True)
class Line:
    """How one fit is drawn wherever it appears."""

    label: str
    colour: str
    dashes: str | tuple
    marker: str


def png(figure: Figure, *, dpi: int, texts: Mapping[str, str]) -> bytes:
    """A figure as the bytes of a PNG, with texts in its metadata."""
    stream = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        _use_style()
        figure.savefig(stream, format="png", dpi=dpi, metadata=dict(texts))
    return stream.getvalue()


def fit_label(name: str) -> str:
    """`Fourier 10 × 10 × 2` for `fourier-10x10x2`; other names stay as they are."""
    match = re.fullmatch(r"(fourier|mlp)-(\d+(?:x\d+)*)(?:-(.+))?", name)
    if match is None:
        return name
    model = {"fourier": "Fourier", "mlp": "MLP"}[match[1]]
    order = match[2].replace("x", "\u2009×\u2009")
    return f"{model} {order}" + (f" ({match[3]})" if match[3] else "")


def lines_for(names: Sequence[str]) -> list[Line]:
    """A line for each fit: Fourier orders run from light to dark, other models stand apart."""
    fourier = [name for name in names if name.startswith("fourier")]
    ramp = matplotlib.colormaps["viridis_r"]
    shades = [ramp(x) for x in (np.linspace(0.22, 0.85, len(fourier)) if fourier[1:] else [0.6])]
    others = iter([VERMILION, PURPLE, ORANGE, SKY, GREEN, BLUE] * (1 + len(names) // 6))
    markers = iter("sD^vPX" * (1 + len(names) // 6))
    lines = []
    for name in names:
        if name in fourier:
            shade = matplotlib.colors.to_hex(shades[fourier.index(name)])
            lines.append(Line(fit_label(name), shade, "-", "o"))
        else:
            lines.append(Line(fit_label(name), next(others), (0, (5, 1.5)), next(markers)))
    return lines


def _finite(arrays: Iterable[np.ndarray]) -> np.ndarray:
    parts = [np.asarray(a, dtype=float).ravel() for a in arrays]
    values = np.concatenate(parts) if parts else np.empty(0)
    return values[np.isfinite(values)]


def density_norm(*arrays: np.ndarray, decades: float = 3.0) -> LogNorm:
    """Logarithmic scale from the 1st to the 99.7th percentile, at most `decades` deep."""
    values = _finite(arrays)
    values = values[values > 0]
    if values.size == 0:
        return LogNorm(1e-3, 1.0)
    low, high = np.percentile(values, [1.0, 99.7])
    low = max(low, high * 10.0**-decades)
    if high / low < 1.05:
        low, high = low / 1.5, high * 1.5
    return LogNorm(low, high)


def norm_limits(norm: Normalize) -> tuple[float, float]:
    """The ends of a colour scale."""
    if norm.vmin is None or norm.vmax is None:
        raise ValueError("a colour scale without limits; set both")
    return float(norm.vmin), float(norm.vmax)


def difference_norm(*arrays: np.ndarray, percentile: float = 99.0) -> Normalize:
    """Scale that is symmetric about zero, to a percentile of the absolute values."""
    values = np.abs(_finite(arrays))
    reach = float(np.percentile(values, percentile)) if values.size else 1.0
    reach = reach if reach > 0 else 1.0
    return Normalize(-reach, reach)


def extinction_norm(*arrays: np.ndarray) -> Normalize:
    """Linear scale from zero to the 99.5th percentile of extinctions [mag]."""
    values = _finite(arrays)
    high = float(np.percentile(values, 99.5)) if values.size else 1.0
    return Normalize(0.0, high if high > 0 else 1.0)
