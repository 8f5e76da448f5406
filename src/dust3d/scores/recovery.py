"""How well a known truth was recovered, beside the ceiling that truncation sets."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy import ndimage

from dust3d.conventions import AXES
from dust3d.scores.spectra import (
    highest_wavenumber,
    is_flat,
    resolution,
    shell_edges,
    shell_scores,
    summary,
    truncated,
)


def _axes(dataset: xr.Dataset) -> list[np.ndarray]:
    return [dataset[name].values for name in AXES if dataset.sizes[name] > 1]


def _inner(
    axes: Sequence[np.ndarray], half_widths: Sequence[float], fraction: float
) -> tuple[slice, ...]:
    """The cells inside a fraction of the box."""
    slices = []
    for axis, half in zip(axes, half_widths, strict=True):
        inside = np.flatnonzero(np.abs(axis) <= fraction * half)
        slices.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return tuple(slices)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    if is_flat(a) or is_flat(b):
        return 0.0
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def _by_distance(
    distance: np.ndarray, error: np.ndarray, edges: np.ndarray
) -> dict[str, list[float]]:
    """Bias and rms of ln rho in shells of distance."""
    shell = np.digitize(distance.ravel(), edges) - 1
    rows = [error.ravel()[shell == j] for j in range(len(edges) - 1)]
    keep = [j for j, some in enumerate(rows) if len(some)]
    return {
        "edges_kpc": [float(edges[j]) for j in keep] + [float(edges[keep[-1] + 1])],
        "bias": [float(np.mean(rows[j])) for j in keep],
        "rms": [float(np.sqrt(np.mean(rows[j] ** 2))) for j in keep],
    }


def smoothed_density(
    density: np.ndarray, voxel: Sequence[float], resolution_kpc: float
) -> np.ndarray:
    """Density smoothed by a Gaussian of this full width at half maximum, in the periodic box."""
    sigma = [resolution_kpc / 2.3548 / d for d in voxel]
    return ndimage.gaussian_filter(density, sigma, mode="wrap")


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
    resolution; with an order, `correlation_ceiling` and the like of the truth truncated
    to the fit's modes.
    """
    axes = _axes(truth)
    voxel = [float(a[1] - a[0]) for a in axes]
    inner = _inner(axes, half_widths, fraction)
    full = np.squeeze(truth["ln_density"].values.astype(np.float64))
    t, f = full[inner], np.squeeze(fit["ln_density"].values.astype(np.float64))[inner]
    edges = shell_edges(t.shape, voxel, shells, highest_wavenumber(full, voxel))
    found = shell_scores(t, f, voxel, edges)
    k = found["k_per_kpc"]
    mesh = np.meshgrid(*(a[s] for a, s in zip(axes, inner, strict=True)), indexing="ij")
    distance = np.sqrt(sum(m**2 for m in mesh))
    table = summary(found)
    table["power_fit"] = table.pop("power_other")
    table["power_ratio"] = (found["transfer"] ** 2).tolist()
    result: dict[str, Any] = {
        "box_fraction": fraction,
        "correlation": _correlation(t, f),
        "rms": float(np.sqrt(np.mean((f - t) ** 2))),
        "bias": float(np.mean(f - t)),
        "shells": table,
        "distance": _by_distance(
            distance, f - t, np.linspace(0, float(distance.max()) * (1 + 1e-9), shells + 1)
        ),
        "resolution_kpc": resolution(k, found["r"]),
    }
    if order is not None:
        best = truncated(full, order, ball)[inner]
        ceiling = shell_scores(t, best, voxel, edges)
        table["r_ceiling"] = ceiling["r"].tolist()
        table["transfer_ceiling"] = ceiling["transfer"].tolist()
        result["correlation_ceiling"] = _correlation(t, best)
        result["rms_ceiling"] = float(np.sqrt(np.mean((best - t) ** 2)))
        result["resolution_ceiling_kpc"] = resolution(k, ceiling["r"])
    width = result["resolution_kpc"]
    if width is not None:
        a, b = (
            smoothed_density(np.squeeze(d["density"].values.astype(np.float64)), voxel, width)[
                inner
            ]
            for d in (truth, fit)
        )
        result["smoothed_density"] = {
            "width_kpc": width,
            "correlation": _correlation(a, b),
            "median_ratio": float(np.median(b / a)),
        }
    return result
