"""NIFTy.re on the stars of a finished run: the maximum, by its Newton-CG, and how good it is.

    make bench-nifty RUN=results/original

ln rho on a grid of 128 x 128 x 32 cells is a Hartley transform of white noise times the true power
law, cut where the grid ends, and a mean; rays are dust3d's sparse ones on that grid, which NIFTy
has not. The spectrum is not fitted: with a free one the maximum overfits. Writes
results/bench/nifty.json: correlation, rms and the held-out score after each Newton step.
"""

import argparse
import logging
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import nifty.re as jft
import numpy as np
import xarray as xr

from dust3d import runtime
from dust3d.conventions import AXES
from dust3d.fields.modes import fourier_modes, wavenumbers
from dust3d.files import write_json
from dust3d.io.fields import load_field
from dust3d.io.stars import class_names_of, read_observations
from dust3d.observations import Observations
from dust3d.progress import logger
from dust3d.rays.grid import Grid
from dust3d.rays.product import RayMatrix, ResidentRays
from dust3d.rays.scheme import Scheme
from dust3d.rays.weights import ray_blocks
from dust3d.scores.recovery import recovery

ORDER, SLOPE, FRACTION = (40, 40, 8), 1.8, 0.8
SMALLEST = 0.02


class Model:
    """From white noise to extinctions, as NIFTy.re is used.

    Parameters
    ----------
    grid
        Cells of ln rho.
    kernel
        Of the rays.
    dtype
        Precision.
    """

    def __init__(self, grid: Grid, kernel: str, dtype: Any):
        self.grid, self.scheme = grid, Scheme(kernel, (grid,), SMALLEST)
        modes = np.stack(
            np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in grid.cells), indexing="ij"), axis=-1
        )
        k = wavenumbers(modes.reshape(-1, 3), grid.half_widths).reshape(grid.cells)
        shape = np.where(k > 0, k, np.inf) ** -SLOPE
        true = wavenumbers(fourier_modes(ORDER), grid.half_widths) ** -SLOPE
        # a wave is two of the Hartley transform's modes
        norm = 1 / np.sqrt(2 * (1 + np.sum(true**2)))
        self.amplitude = jnp.asarray(norm * shape, dtype)

    def start(self) -> Any:
        """No dust but the mean."""
        zero = jnp.zeros((), self.amplitude.dtype)
        return jft.Vector({"noise": jnp.zeros_like(self.amplitude), "mean": zero})

    def ln_density(self, xi: Any) -> jax.Array:
        """ln rho at the centres of all cells."""
        return jft.correlated_field.hartley(self.amplitude * xi["noise"]) + xi["mean"]

    def rays(self, stars: Observations):
        """The function from white noise to the extinctions of some stars."""
        matrix = RayMatrix(ResidentRays([ray_blocks(stars.positions, self.scheme)]))

        def extinctions(xi):
            sharp = self.scheme.undone(jnp.exp(self.ln_density(xi)), 0)
            return matrix(jnp.asarray(0), sharp.reshape(-1, 1))[:, 0]

        return extinctions


def ln_density_map(values: np.ndarray, grid: Grid) -> xr.Dataset:
    """ln rho on a grid, as a map."""
    axes = dict(zip(AXES, grid.axes, strict=True))
    both = {"ln_density": (AXES, values), "density": (AXES, np.exp(values))}
    return xr.Dataset(both, axes)


def main() -> None:
    """Fit, score, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?", default=Path("results/original"))
    parser.add_argument("--cells", type=int, nargs=3, default=[128, 128, 32])
    parser.add_argument("--kernel", default="deconvolved", choices=["deconvolved", "trilinear"])
    parser.add_argument("--precision", default="float64", choices=["float32", "float64"])
    parser.add_argument("--products", type=int, default=100, help="of each Newton step")
    parser.add_argument("--seconds", type=float, default=300, help="no step begins after these")
    parser.add_argument("--output", type=Path, default=Path("results/bench/nifty.json"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    runtime.configure(cache=".jax_cache")
    paths = [arguments.run / "stars" / f"{name}.h5" for name in ("train", "heldout")]
    names = class_names_of(paths)
    truth, attrs = load_field(arguments.run / "truth" / "field.h5")
    grid = Grid(tuple(arguments.cells), tuple(attrs["half_widths_kpc"]))
    train, heldout = (read_observations(path, grid.half_widths, names) for path in paths)
    true = np.asarray(truth.on_grid([jnp.asarray(axis) for axis in grid.axes]))

    started = time.perf_counter()
    model = Model(grid, arguments.kernel, jnp.dtype(arguments.precision))
    forward, inverse = model.rays(train), jnp.asarray(1 / train.sigma, model.amplitude.dtype)
    observed = jnp.asarray(train.extinction, model.amplitude.dtype)
    likelihood = jft.Gaussian(observed, lambda x: inverse**2 * x, lambda x: inverse * x)
    likelihood = likelihood.amend(forward, domain=model.start())
    setup_seconds = time.perf_counter() - started

    energy = jax.jit(jax.value_and_grad(lambda xi: likelihood(xi) + 0.5 * jft.vdot(xi, xi)))
    metric = jax.jit(lambda xi, tangent: likelihood.metric(xi, tangent) + tangent)
    places: list[tuple[float, float, int, Any]] = []
    products = 0

    def value_and_gradient(xi):
        found = energy(xi)
        places.append((time.perf_counter() - started, float(found[0]), products, xi))
        return found

    def multiply(xi, tangent):
        nonlocal products
        products += 1
        return metric(xi, tangent)

    jft.newton_cg(
        x0=model.start(),
        fun_and_grad=value_and_gradient,
        hessp=multiply,
        # left to itself it ends steps after six products, and the whole early
        cg_kwargs={"miniter": arguments.products, "maxiter": arguments.products},
        xtol=1e-9,
        time_threshold=datetime.now() + timedelta(seconds=arguments.seconds),
        name="N",
    )
    unseen = jax.jit(model.rays(heldout))
    rows, least = [], np.inf
    for seconds, value, spent, xi in places:
        if value > least:
            continue
        least = value
        fit = np.asarray(model.ln_density(xi), np.float64)
        scores = recovery(
            ln_density_map(true, grid),
            ln_density_map(fit, grid),
            half_widths=grid.half_widths,
            fraction=FRACTION,
            shells=24,
            order=None,
            ball=True,
        )
        ln_squares = [
            float(np.log(np.mean((stars.extinction - np.asarray(extinctions(xi))) ** 2)))
            for stars, extinctions in ((train, forward), (heldout, unseen))
        ]
        row = {
            "seconds": seconds,
            "products": spent,
            "energy": value,
            "correlation": scores["correlation"],
            "rms": scores["rms"],
            "ln_mean_square_residual_train": ln_squares[0],
            "ln_mean_square_residual_heldout": ln_squares[1],
            "k_per_kpc": scores["shells"]["k_per_kpc"],
            "r": scores["shells"]["r"],
        }
        rows.append(row)
        logger.info(
            "%(seconds).0f s, %(products)d products: correlation %(correlation).4f, rms %(rms).4f, "
            "ln(mean residual^2) %(ln_mean_square_residual_train).3f, held out "
            "%(ln_mean_square_residual_heldout).3f",
            row,
        )
    found = {
        "cells": arguments.cells,
        "kernel": arguments.kernel,
        "precision": arguments.precision,
        "stars": len(train),
        "setup_seconds": setup_seconds,
        "rows": rows,
    }
    write_json(arguments.output, found)


if __name__ == "__main__":
    main()
