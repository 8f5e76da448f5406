"""The celestial sphere in Galactic coordinates: Mollweide panels with l growing to the left."""

import numpy as np
from astropy import units as u
from astropy_healpix import HEALPix
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, Normalize

from dust3d.plots.style import NO_DATA

_HALO: list[patheffects.AbstractPathEffect] = [
    patheffects.withStroke(linewidth=1.8, foreground="white")
]


def sky_cells(step_deg: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Edges of cells on the sky: l from 180 down to -180 deg, b from -90 to 90 deg."""
    l_edges = np.linspace(180.0, -180.0, round(360 / step_deg) + 1)
    b_edges = np.linspace(-90.0, 90.0, round(180 / step_deg) + 1)
    return l_edges, b_edges


def middles(edges: np.ndarray) -> np.ndarray:
    """Middles of cells from their edges."""
    return (edges[1:] + edges[:-1]) / 2


def wrap(l_deg: np.ndarray) -> np.ndarray:
    """Galactic longitudes in [-180, 180) deg."""
    return (np.asarray(l_deg, dtype=float) + 180.0) % 360.0 - 180.0


def project(l_deg: np.ndarray, b_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the panel [rad]: x to the right is falling l."""
    return -np.deg2rad(wrap(l_deg)), np.deg2rad(b_deg)


def draw_sky(
    ax: Axes,
    l_edges: np.ndarray,
    b_edges: np.ndarray,
    values: np.ndarray,
    norm: Normalize,
    colours: Colormap,
    *,
    labels: bool = True,
) -> QuadMesh:
    """Draw values of shape (l, b) on a Mollweide panel; places without a value are grey."""
    ax.set_facecolor(NO_DATA)
    mesh = ax.pcolormesh(
        -np.deg2rad(l_edges),
        np.deg2rad(b_edges),
        np.ma.masked_invalid(values).T,
        norm=norm,
        cmap=colours,
        shading="flat",
        rasterized=True,
    )
    longitudes = np.array([120, 60, 0, -60, -120])
    names = [rf"${value % 360}\degree$" for value in longitudes]
    ax.set_xticks(-np.deg2rad(longitudes), names if labels else [""] * len(names), fontsize=6.5)
    latitudes = np.array([-60, -30, 30, 60])
    ax.set_yticks(np.deg2rad(latitudes), [rf"${b}\degree$" for b in latitudes], fontsize=6.5)
    for label in ax.get_xticklabels():
        label.set_path_effects(_HALO)
    ax.grid(color="white", lw=0.35, alpha=0.6)
    return mesh


def healpix_means(
    l_deg: np.ndarray, b_deg: np.ndarray, values: np.ndarray, nside: int, least: int = 1
) -> np.ndarray:
    """Mean of the finite values of the stars in each HEALPix pixel (ring order).

    Pixels with fewer than `least` such stars are NaN.
    """
    healpix = HEALPix(nside=nside, order="ring")
    good = np.isfinite(values)
    pixel = healpix.lonlat_to_healpix(l_deg[good] * u.deg, b_deg[good] * u.deg)
    number = np.bincount(pixel, minlength=healpix.npix)
    total = np.bincount(pixel, values[good], minlength=healpix.npix)
    with np.errstate(invalid="ignore"):
        return np.where(number >= max(least, 1), total / number, np.nan)


def healpix_on_cells(
    pixels: np.ndarray, nside: int, l_edges: np.ndarray, b_edges: np.ndarray
) -> np.ndarray:
    """The value of each cell's pixel, shape (l, b)."""
    longitude, latitude = np.meshgrid(middles(l_edges), middles(b_edges), indexing="ij")
    healpix = HEALPix(nside=nside, order="ring")
    return pixels[healpix.lonlat_to_healpix(longitude * u.deg, latitude * u.deg)]
