"""Small products in the shape of the contract, made from closed forms."""

import numpy as np
import xarray as xr

from dust3d.plots.residuals import Predictions
from dust3d.plots.spaghetti import Ray


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


def make_uncertain_map(**options):
    """The same with standard deviations that grow from the Sun, and stars in some columns."""
    grid = make_map(**options)
    distance = np.sqrt(grid["x"] ** 2 + grid["y"] ** 2 + grid["z"] ** 2).transpose("x", "y", "z")
    std, names = np.asarray(0.1 + 0.3 * distance), ("x", "y", "z")
    number = np.zeros(std.shape, dtype=np.int32)
    number[2:5, 3:8] = 1
    none, of_density, of_extinction = ({"units": unit} for unit in ("1", "mag / kpc", "mag"))
    return grid.assign(
        ln_density_std_resolved=(names, std, none),
        ln_density_std=(names, np.sqrt(std**2 + 0.04), none),
        info=(names, 1 - std**2, none),
        density_std=(names, std * grid["density"].values, of_density),
        extinction_std=(names, 0.1 * grid["extinction"].values, of_extinction),
        n_stars=(names, number, none),
    )


def make_ray(**changes):
    """A ray with samples around a line in ln rho, and its truth."""
    s = np.linspace(0.0, 0.8, 41)
    samples = -0.5 + s + 0.3 * np.random.default_rng(6).normal(size=(24, 1)) * np.ones_like(s)
    given = {
        "name": "Taurus",
        "l_deg": 171.0,
        "b_deg": -15.0,
        "distances_kpc": s,
        "samples": samples,
        "prior_mean": -0.7,
        "prior_std": np.full(s.size, 0.8),
        "beyond": 0.04,
        "truth": -0.4 + s,
        "stars_kpc": np.array([0.2, 0.5, 0.1]),
        "mark_kpc": 0.14,
    }
    return Ray(**(given | changes))


def make_calibration(*, mock=True):
    """Transforms of 1 000 stars that are a little too often in the middle."""
    histogram = np.full(20, 0.045)
    histogram[5:15] = 0.055

    def both(first, second):
        shares = {"68": first, "95": second}
        return {"n": 1000} | {
            level: {"share": share, "standard_error": 0.02} for level, share in shares.items()
        }

    coverage = {"heldout": both(0.72, 0.955)}
    if mock:
        cells = {"all": both(0.6, 0.9), "informed": both(0.66, 0.94)}
        coverage |= {
            "extinction": both(0.7, 0.96),
            "column": both(0.61, 0.93),
            "ln_density": cells,
            "ln_density_total": dict(cells),
            "smoothed_density": cells | {"width_kpc": 0.2},
        }
    return {
        "samples": 24,
        "pit": {
            "n": 1000,
            "n_effective": 400.0,
            "ks": 0.05,
            "p": 0.3,
            "histogram": histogram.tolist(),
        },
        "coverage": coverage,
    }


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
