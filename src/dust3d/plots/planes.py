"""One panel of a map: an image in kpc at true proportions, the Sun, named directions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.image import AxesImage
from matplotlib.patches import Circle, Patch, Rectangle
from matplotlib.transforms import BboxBase

from dust3d.coords import directions
from dust3d.plots.layout import root_figure
from dust3d.plots.style import NO_DATA

AXIS_LABELS = {
    "x": r"$x$ [kpc] (to $l=0\degree$)",
    "y": r"$y$ [kpc] (to $l=90\degree$)",
    "z": r"$z$ [kpc]",
}
_HALO = [patheffects.withStroke(linewidth=2.0, foreground="white")]


@dataclass(frozen=True)
class Mark:
    """A named direction; its position if the distance is known."""

    name: str
    l_deg: float
    b_deg: float
    distance_kpc: float | None = None


def placed(marks: Sequence[Mark]) -> list[tuple[str, np.ndarray]]:
    """Names and heliocentric Galactic Cartesian positions [kpc] of the marks with a distance."""
    return [
        (m.name, m.distance_kpc * directions(np.asarray(m.l_deg), np.asarray(m.b_deg)))
        for m in marks
        if m.distance_kpc is not None
    ]


def edges(centres: np.ndarray) -> np.ndarray:
    """Faces of evenly spaced cells from their centres; a single cell gets width 1."""
    centres = np.asarray(centres, dtype=float)
    step = centres[1] - centres[0] if centres.size > 1 else 1.0
    return np.concatenate([centres - step / 2, centres[-1:] + step / 2])


def crop(grid: xr.Dataset, reach_kpc: float | None) -> xr.Dataset:
    """The part of a map within a little more than `reach_kpc` of the Sun along each axis."""
    if reach_kpc is None:
        return grid
    keep = {}
    for axis in ("x", "y", "z"):
        near = np.flatnonzero(np.abs(grid[axis].values) <= 1.08 * reach_kpc)
        if grid.sizes[axis] > 1 and near.size > 1:
            keep[axis] = slice(near[0], near[-1] + 1)
    return grid.isel(keep)


def draw_plane(
    ax: Axes,
    horizontal: np.ndarray,
    vertical: np.ndarray,
    values: np.ndarray,
    norm: Normalize,
    colours: Colormap,
    *,
    reach_kpc: float | None = None,
    used_kpc: tuple[float, float] | None = None,
) -> AxesImage:
    """Draw values of shape (horizontal, vertical) at cell centres [kpc], with the Sun.

    Cells without a value are grey. A dashed circle of radius `reach_kpc`, or a box of half-widths
    `used_kpc`, marks how far the stars reach.
    """
    left_right, bottom_top = edges(horizontal), edges(vertical)
    extent = (left_right[0], left_right[-1], bottom_top[0], bottom_top[-1])
    ax.set_facecolor(NO_DATA)
    image = ax.imshow(
        np.ma.masked_invalid(np.asarray(values, dtype=float).T),
        origin="lower",
        extent=extent,
        norm=norm,
        cmap=colours,
        aspect="equal",
        interpolation="nearest",
    )
    limits: list[Patch] = []
    dashed = {"fill": False, "lw": 0.8, "ls": (0, (4, 3)), "ec": "0.15"}
    if reach_kpc is not None:
        limits.append(Circle((0, 0), reach_kpc, **dashed))
    if used_kpc is not None:
        width, height = used_kpc
        limits.append(Rectangle((-width, -height), 2 * width, 2 * height, **dashed))
    halo = patheffects.withStroke(linewidth=1.5, foreground="white", alpha=0.6)
    for limit in limits:
        limit.set_path_effects([halo])
        ax.add_patch(limit)
    draw_sun(ax)
    ax.set_xlim(extent[:2])
    ax.set_ylim(extent[2:])
    return image


def draw_sun(ax: Axes) -> None:
    """The Sun's sign at the origin."""
    ax.plot(0, 0, "o", ms=5.5, mfc="white", mec="black", mew=0.9, zorder=5)
    ax.plot(0, 0, "o", ms=1.4, mfc="black", mec="none", zorder=6)


def draw_marks(
    ax: Axes,
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    longitudes_deg: Sequence[float] = (),
    ray_names: Sequence[str] = (),
    *,
    fontsize: float = 7.0,
) -> None:
    """Crosses at points, dotted rays towards longitudes, and names that hide none of these."""
    reach = 0.8 * min(np.abs([*ax.get_xlim(), *ax.get_ylim()]))
    tips = [(reach * np.cos(a), reach * np.sin(a)) for a in np.deg2rad(longitudes_deg)]
    for x, y in tips:
        ax.plot(
            [0, x],
            [0, y],
            ls=":",
            lw=1.0,
            color="black",
            zorder=4,
            path_effects=[patheffects.withStroke(linewidth=2.0, foreground="white")],
        )
    inside = [
        (point, name) for point, name in zip(points, names, strict=True) if _inside(ax, point)
    ]
    for (x, y), _ in inside:
        ax.plot(
            x,
            y,
            "+",
            ms=6,
            mew=1.3,
            color="black",
            zorder=7,
            path_effects=[patheffects.withStroke(linewidth=2.8, foreground="white")],
        )
    place_names(
        ax,
        [p for p, _ in inside] + tips,
        [n for _, n in inside] + list(ray_names),
        fontsize=fontsize,
    )


def _inside(ax: Axes, point: tuple[float, float]) -> bool:
    (x0, x1), (y0, y1) = sorted(ax.get_xlim()), sorted(ax.get_ylim())
    return bool(x0 < point[0] < x1 and y0 < point[1] < y1)


def place_names(
    ax: Axes,
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    *,
    fontsize: float,
    avoid: Sequence[tuple[float, float]] = (),
) -> None:
    """Write names beside points, each at the first of eight sides that is free.

    `avoid` are places of other text. A name that fits nowhere is left out: its cross still
    shows the place.
    """
    pixels_per_point = root_figure(ax).dpi / 72
    frame = ax.get_window_extent()
    # the Sun's sign is an obstacle as well
    anchors = ax.transData.transform(np.array([*points, (0.0, 0.0)], dtype=float))
    size = 4.0 * pixels_per_point
    taken = [(x - size, y - size, x + size, y + size) for x, y in anchors]
    for x, y in ax.transData.transform(np.asarray(avoid, dtype=float).reshape(-1, 2)):
        taken.append((x - 2.6 * size, y - 1.6 * size, x + 2.6 * size, y + 1.6 * size))
    height = 1.15 * fontsize * pixels_per_point
    for i, name in enumerate(names):
        width = 0.56 * fontsize * pixels_per_point * len(name)
        x, y = anchors[i]
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)):
            near_x = x + dx * 1.2 * size
            left = near_x - (1 - dx) / 2 * width
            middle = y + dy * (height / 2 + 1.1 * size)
            box = (left, middle - height / 2, left + width, middle + height / 2)
            if not _within(box, frame) or any(_overlap(box, other) for other in taken):
                continue
            taken.append(box)
            place = ax.transData.inverted().transform(np.array([near_x, middle]))
            side = {1: "left", 0: "center", -1: "right"}[dx]
            ax.text(
                float(place[0]),
                float(place[1]),
                name,
                ha=side,
                va="center",
                fontsize=fontsize,
                zorder=8,
                path_effects=_HALO,
            )
            break


def _within(box: tuple[float, ...], frame: BboxBase) -> bool:
    return bool(
        box[0] >= frame.x0 + 2
        and box[2] <= frame.x1 - 2
        and box[1] >= frame.y0 + 2
        and box[3] <= frame.y1 - 2
    )


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return bool(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])
