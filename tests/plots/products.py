"""Small products in the shape of the contract, made from closed forms."""

import numpy as np
import xarray as xr

from dust3d.plots.residuals import Predictions


def centres(half_width, cells):
    return (np.arange(cells) + 0.5) / cells * 2 * half_width - half_width


def make_map(cells=(12, 12, 6), half_widths=(1.0, 1.0, 0.2), density=0.5, wave=0.8):
    """One cosine along x; for that field the extinction is known on no grid, so it is rho |x|."""
    axes = [centres(h, n) for h, n in zip(half_widths, cells, strict=True)]
    if cells[2] == 1:
        axes[2] = np.zeros(1)
    x, y, z = np.meshgrid(*axes, indexing="ij")
    ln_density = np.log(density) + wave * np.cos(np.pi * x / half_widths[0])
    rho = np.exp(ln_density)
    extinction = density * np.sqrt(x**2 + y**2 + z**2)
    names = ("x", "y", "z")
    return xr.Dataset(
        {
            "density": (names, rho, {"units": "mag / kpc"}),
            "extinction": (names, extinction, {"units": "mag"}),
            "ln_density": (names, ln_density, {"units": "1"}),
        },
        coords={
            name: (name, axis, {"units": "kpc"}) for name, axis in zip(names, axes, strict=True)
        },
        attrs={
            "format": "dust3d-map",
            "format_version": 1,
            "half_widths_kpc": list(half_widths[: 2 if cells[2] == 1 else 3]),
        },
    )


def make_stars():
    rng = np.random.default_rng(1)
    n = 400
    predicted = rng.uniform(0, 1, n)
    observed = predicted + 0.1 * rng.normal(size=n)
    observed[:3] = np.nan
    return Predictions(
        l_deg=rng.uniform(0, 360, n),
        b_deg=rng.uniform(-60, 60, n),
        distance_kpc=rng.uniform(0.05, 0.5, n),
        classes=rng.choice(["A", "F", ""], n),
        observed_mag=observed,
        predicted_mag=predicted,
        sigma_mag=np.full(n, 0.1),
        heldout=rng.random(n) < 0.2,
    )


def make_recovery(order):
    k = np.geomspace(3, 60, 8)
    r = 1 / (1 + (k / (3.0 * order)) ** 4)
    return {
        "correlation": 0.9,
        "correlation_ceiling": 0.95,
        "rms": 0.3,
        "resolution_kpc": float(np.pi / (3.0 * order)),
        "resolution_ceiling_kpc": 0.05,
        "distance": {
            "edges_kpc": [0.0, 0.4, 0.8],
            "bias": [0.02, -0.01],
            "rms": [0.2, None],
        },
        "shells": {
            "k_per_kpc": k.tolist(),
            "n": [5] * 8,
            "r": r.tolist(),
            "transfer": r.tolist(),
            "r_ceiling": np.ones(8).tolist(),
            "transfer_ceiling": np.ones(8).tolist(),
            "power_truth": (k**-3.6).tolist(),
            "power_fit": (k**-3.6 * r).tolist(),
            "power_ratio": [None] * 8,
        },
    }


def make_scores(name, order, *, mock=True):
    baselines = {"neighbours": {"mean": 0.5}, "slab": {"mean": 0.4}}
    scores = {
        "name": name,
        "model": name.split("-")[0],
        "order": [order],
        "parameters": 100 * order,
        "heldout": {
            "n": 80,
            "log_predictive_density": {"mean": 0.1 * order, "standard_error": 0.02},
            "width_catalogue": 1.3,
            "width_fitted": 1.0,
            "baselines": baselines,
        },
    }
    return scores | ({"recovery": make_recovery(order)} if mock else {})


def make_history():
    epoch = np.arange(1.0, 21.0)
    score = np.where(epoch % 2 == 0, 1 - np.exp(-epoch / 5), np.nan)
    rng = np.random.default_rng(2)
    return {
        "epoch": epoch,
        "step": 10 * epoch,
        "seconds": 0.5 * epoch,
        "loss": 3 * np.exp(-epoch / 4),
        "train_score": score,
        "heldout_score": score - 0.1,
        "snapshots/epoch": np.array([1, 10, 20]),
        "snapshots/x": centres(1.0, 16),
        "snapshots/y": centres(1.0, 16),
        "snapshots/ln_density": rng.normal(size=(3, 16, 16)),
    }
