"""How well a known truth was recovered, beside the ceiling that truncation sets."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from dust3d.scores.cells import Cells
from dust3d.scores.smoothing import ratio_scores, smoothed_density
from dust3d.scores.spectra import (
    highest_wavenumber,
    is_flat,
    resolution,
    shell_edges,
    shell_scores,
    summary,
    truncated,
)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    if is_flat(a) or is_flat(b):
        return 0.0
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def _by_distance(distance: np.ndarray, error: np.ndarray, shells: int) -> dict[str, list[float]]:
    """Bias and rms of ln rho in shells of distance."""
    edges = np.linspace(0, float(distance.max()) * (1 + 1e-9), shells + 1)
    shell = np.digitize(distance.ravel(), edges) - 1
    rows = [error.ravel()[shell == j] for j in range(shells)]
    keep = [j for j, some in enumerate(rows) if len(some)]
    return {
        "edges_kpc": [float(edges[j]) for j in keep] + [float(edges[keep[-1] + 1])],
        "bias": [float(np.mean(rows[j])) for j in keep],
        "rms": [float(np.sqrt(np.mean(rows[j] ** 2))) for j in keep],
    }


def _smoothed(truth: xr.Dataset, fit: xr.Dataset, cells: Cells, width: float) -> dict[str, Any]:
    """Densities at one resolution, and their ratio where the stars tell."""
    t, f = (
        smoothed_density(cells.whole(d, "density"), cells.voxel, width)[cells.inner]
        for d in (truth, fit)
    )
    found: dict[str, Any] = {
        "width_kpc": width,
        "correlation": _correlation(t, f),
        "median_ratio": float(np.median(f / t)),
    }
    informed = cells.informed(fit)
    if informed is not None:
        found["informed"] = ratio_scores(f, t, informed)
    return found


def recovery(
    truth: xr.Dataset,
    fit: xr.Dataset,
    *,
    half_widths: Sequence[float],
    fraction: float,
    shells: int,
    order: Sequence[int] | None,
    ball: bool,
) -> dict[str, Any]:
    """Scores of a fit's map against the truth's, in the middle of the box.

    Parameters
    ----------
    truth, fit
        Maps on one grid.
    half_widths
        Of the box [kpc].
    fraction
        Part of each half-width that counts.
    shells
        Shells of |k| and of distance.
    order, ball
        Modes of the fit, for the ceiling; none for networks, which have no such ceiling.

    Returns
    -------
    `correlation`, `rms`, `bias` of ln rho; `shells`: r(k), T(k), power; `distance`:
    bias and rms; `resolution_kpc`; `smoothed_density`: correlation and ratio at that
    resolution, `informed` where a posterior has info of 0.5 and more; with an order,
    `correlation_ceiling` and the like of the truth truncated to the fit's modes.
    """
    cells = Cells.inside(truth, half_widths, fraction)
    voxel, full = cells.voxel, cells.whole(truth, "ln_density")
    t, f = full[cells.inner], cells.of(fit, "ln_density")
    edges = shell_edges(t.shape, voxel, shells, highest_wavenumber(full, voxel))
    found = shell_scores(t, f, voxel, edges)
    table = summary(found)
    table["power_fit"] = table.pop("power_other")
    table["power_ratio"] = (found["transfer"] ** 2).tolist()
    result: dict[str, Any] = {
        "box_fraction": fraction,
        "correlation": _correlation(t, f),
        "rms": float(np.sqrt(np.mean((f - t) ** 2))),
        "bias": float(np.mean(f - t)),
        "shells": table,
        "distance": _by_distance(cells.distance, f - t, shells),
        "resolution_kpc": resolution(found["k_per_kpc"], found["r"]),
    }
    if order is not None:
        best = truncated(full, order, ball)[cells.inner]
        ceiling = shell_scores(t, best, voxel, edges)
        table["r_ceiling"] = ceiling["r"].tolist()
        table["transfer_ceiling"] = ceiling["transfer"].tolist()
        result["correlation_ceiling"] = _correlation(t, best)
        result["rms_ceiling"] = float(np.sqrt(np.mean((best - t) ** 2)))
        result["resolution_ceiling_kpc"] = resolution(found["k_per_kpc"], ceiling["r"])
    if result["resolution_kpc"] is not None:
        result["smoothed_density"] = _smoothed(truth, fit, cells, result["resolution_kpc"])
    return result
