"""What the figures share: the look of maps, the truth, saving whole with the origin inside."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from dust3d.errors import ProductError
from dust3d.files import atomic_path
from dust3d.io.maps import read_map
from dust3d.plots.planes import Mark
from dust3d.plots.style import png
from dust3d.provenance import provenance, versions

PathLike = str | Path


def read_truth(path: PathLike | None, fit: xr.Dataset, fit_path: Path) -> xr.Dataset | None:
    """The true map, on the grid of a fit's map; none for real stars.

    Raises
    ------
    ProductError
        If it is missing, damaged, or on another grid.
    """
    if path is None:
        return None
    truth = read_map(path)
    same = [
        truth.sizes[axis] == fit.sizes[axis] and np.allclose(truth[axis], fit[axis])
        for axis in ("x", "y", "z")
    ]
    if not all(same):
        raise ProductError(
            f"{path} and {fit_path}: the two maps are on different grids; all maps of a run share "
            "one, so make both again"
        )
    return truth


def marks(settings: dict[str, Any]) -> list[Mark]:
    """The directions that the configuration names."""
    return [Mark(**mark) for mark in settings["plots"]["marks"]]


def reach(settings: dict[str, Any]) -> float | None:
    """Distance of the farthest stars [kpc], if the configuration sets one."""
    return settings["selection"].get("max_distance_kpc")


def used(settings: dict[str, Any]) -> list[float] | None:
    """Half-widths of the part of the box that holds stars [kpc], unless a distance limits them."""
    if reach(settings) is not None:
        return None
    part = settings["selection"]["box_fraction"]
    return [part * half_width for half_width in settings["box"]["half_widths_kpc"]]


def sky_distances(settings: dict[str, Any]) -> list[float]:
    """Distances to which maps of the sky integrate [kpc]."""
    chosen = settings["plots"]["sky_distances_kpc"]
    widest = max(settings["box"]["half_widths_kpc"])
    return list(chosen) if chosen else [part * widest for part in (0.25, 0.5, 0.8)]


def look(settings: dict[str, Any]) -> dict[str, Any]:
    """What all pictures of maps take from the configuration."""
    return {
        "marks": marks(settings),
        "reach_kpc": reach(settings),
        "used_kpc": used(settings),
        "colours": settings["plots"]["colour_map"],
    }


def save_figures(
    draw: Mapping[str, Callable[[], Any]],
    outputs: Mapping[str, PathLike],
    *,
    title: str,
    settings: dict[str, Any],
    seed: int,
    source: str,
) -> None:
    """Draw and save the figures that `outputs` asks for.

    Raises
    ------
    ProductError
        If a figure of that kind does not exist.
    """
    unknown = sorted(set(outputs) - set(draw))
    if unknown:
        raise ProductError(f"no figure is called {', '.join(unknown)}; there are {', '.join(draw)}")
    origin = provenance(settings=settings, source=source, seed=seed)
    for kind, path in outputs.items():
        about = {
            "Title": f"{title}: {kind}",
            "Software": f"dust3d {versions()['dust3d']}",
            "Description": json.dumps(origin, sort_keys=True),
        }
        content = png(draw[kind](), dpi=settings["plots"]["dpi"], texts=about)
        with atomic_path(path) as aside:
            aside.write_bytes(content)
