r"""NIFTy.re on the stars of a finished run: the maximum by its Newton-CG, and samples around it.

    make bench-nifty RUN=results/original
    python benchmarks/nifty_re.py results/bench/posterior/17/results/posterior \
        --cells 64 64 16 --samples 24

ln rho on a grid is a Hartley transform of white noise times the true power law, cut where the grid
ends (`--band`: where the truth's modes do), and a mean; rays are dust3d's sparse ones on that grid,
which NIFTy has not. The spectrum is not fitted: with a free one the maximum overfits. Samples are
those of geometric variational inference (Frank, Leike & Ensslin 2021), begun at the maximum.
Writes results/bench/nifty.json: correlation, rms and the held-out score after each Newton step;
of the samples after each round accuracy and coverage, as benchmarks/posterior.py has them.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import nifty.re as jft
import numpy as np
import xarray as xr
from posterior import FRACTION, agreement, judged

from dust3d import runtime
from dust3d.conventions import AXES
from dust3d.fields.fourier import FourierField
from dust3d.fields.modes import fourier_modes, wavenumbers
from dust3d.files import write_json
from dust3d.io.fields import load_field
from dust3d.io.stars import read_split
from dust3d.keys import key_for
from dust3d.observations import Observations
from dust3d.progress import logger
from dust3d.rays.grid import Grid
from dust3d.rays.product import RayMatrix, ResidentRays
from dust3d.rays.scheme import Scheme
from dust3d.rays.weights import ray_blocks
from dust3d.scores.recovery import recovery

SLOPE, SMALLEST = 1.8, 0.02


class Run(NamedTuple):
    """Stars and truth of a run, the truth on NIFTy's grid.

    Parameters
    ----------
    train, heldout
        The stars.
    grid
        Cells of ln rho.
    true
        The true ln rho at their centres.
    order
        Of the truth.
    """

    train: Observations
    heldout: Observations
    grid: Grid
    true: np.ndarray
    order: tuple[int, ...]

    @classmethod
    def read(cls, folder: Path, cells: list[int]) -> "Run":
        """From the folder of a run's results."""
        truth, attrs = load_field(folder / "truth" / "field.h5")
        grid = Grid(tuple(cells), tuple(attrs["half_widths_kpc"]))
        stars = read_split(
            *(folder / "stars" / f"{name}.h5" for name in ("train", "heldout")), grid.half_widths
        )
        true = np.asarray(truth.on_grid([jnp.asarray(axis) for axis in grid.axes]))
        series = next(part for part in truth.parts if isinstance(part, FourierField))
        return cls(*stars, grid, true, series.order)

    def inner(self, values: np.ndarray) -> np.ndarray:
        """The cells inside the part of the box that is judged; the last three axes are space."""
        parts = zip(self.grid.axes, self.grid.half_widths, strict=True)
        inside = np.ix_(*(np.abs(axis) <= FRACTION * half for axis, half in parts))
        return values[(..., *inside)]


class Model:
    """From white noise to extinctions, as NIFTy.re is used.

    Parameters
    ----------
    grid
        Cells of ln rho.
    order
        Of the truth, whose amplitudes are known.
    band
        Whether the spectrum ends where the truth's does.
    kernel
        Of the rays.
    dtype
        Precision.
    """

    def __init__(self, grid: Grid, order: tuple[int, ...], band: bool, kernel: str, dtype: Any):
        self.grid, self.scheme = grid, Scheme(kernel, (grid,), SMALLEST)
        modes = np.stack(
            np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in grid.cells), indexing="ij"), axis=-1
        )
        k = wavenumbers(modes.reshape(-1, 3), grid.half_widths).reshape(grid.cells)
        shape = np.where(k > 0, k, np.inf) ** -SLOPE
        if band:
            shape = shape * (np.sum((modes / np.asarray(order)) ** 2, axis=-1) <= 1 + 1e-9)
        true = wavenumbers(fourier_modes(order), grid.half_widths) ** -SLOPE
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

    def rays(self, stars: Observations) -> Callable[[Any], jax.Array]:
        """The function from white noise to the extinctions of some stars."""
        matrix = RayMatrix(ResidentRays([ray_blocks(stars.positions, self.scheme)]))

        def extinctions(xi: Any) -> jax.Array:
            sharp = self.scheme.undone(jnp.exp(self.ln_density(xi)), 0)
            return matrix(jnp.asarray(0), sharp.reshape(-1, 1))[:, 0]

        return extinctions

    def likelihood(self, stars: Observations, extinctions: Callable[[Any], jax.Array]) -> Any:
        """Of these stars, Gaussian with their stated errors."""
        inverse = jnp.asarray(1 / stars.sigma, self.amplitude.dtype)
        observed = jnp.asarray(stars.extinction, self.amplitude.dtype)
        gaussian = jft.Gaussian(observed, lambda x: inverse**2 * x, lambda x: inverse * x)
        return gaussian.amend(extinctions, domain=self.start())


class Clock:
    """Seconds since it was made, and seconds of all cores."""

    def __init__(self):
        self._started = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Both."""
        return time.perf_counter() - self._started[0], time.process_time() - self._started[1]


class Place(NamedTuple):
    """Where a Newton step led: seconds (of a clock, of all cores), products, energy, parameters."""

    seconds: float
    cpu_seconds: float
    products: int
    energy: float
    xi: Any


def maximum(likelihood: Any, start: Any, options: argparse.Namespace) -> list[Place]:
    """The places on the way to the maximum, each better than those before."""
    energy = jax.jit(jax.value_and_grad(lambda xi: likelihood(xi) + 0.5 * jft.vdot(xi, xi)))
    metric = jax.jit(lambda xi, tangent: likelihood.metric(xi, tangent) + tangent)
    clock, places, products = Clock(), [], 0

    def value_and_gradient(xi):
        found = energy(xi)
        if not places or float(found[0]) <= places[-1].energy:
            places.append(Place(*clock.read(), products, float(found[0]), xi))
        return found

    def multiply(xi, tangent):
        nonlocal products
        products += 1
        return metric(xi, tangent)

    jft.newton_cg(
        x0=start,
        fun_and_grad=value_and_gradient,
        hessp=multiply,
        # left to itself it ends steps after six products, and the whole early
        cg_kwargs={"miniter": options.products, "maxiter": options.products},
        absdelta=options.enough,
        xtol=1e-9,
        time_threshold=datetime.now() + timedelta(seconds=options.seconds),
        name="N",
    )
    return places


def rounds_of_samples(
    likelihood: Any, xi: Any, options: argparse.Namespace
) -> list[tuple[tuple[float, float], Any]]:
    """Seconds and samples after each round of geometric variational inference."""
    clock, rounds = Clock(), []
    products = {"maxiter": options.sample_products}
    jft.optimize_kl(
        likelihood,
        xi,
        key=key_for(options.seed, "samples of NIFTy"),
        n_total_iterations=options.rounds,
        # each with its mirror image
        n_samples=options.samples // 2,
        sample_mode="nonlinear_resample",
        draw_linear_kwargs={
            "cg_name": None,
            "cg_kwargs": {"absdelta": options.absdelta} | products,
        },
        nonlinearly_update_kwargs={
            "minimize_kwargs": {
                "name": None,
                "xtol": options.xtol,
                "maxiter": options.curvature_steps,
                "cg_kwargs": {"name": None} | products,
            }
        },
        kl_kwargs={
            "minimize_kwargs": {
                "name": "M",
                "xtol": options.xtol,
                "maxiter": options.kl_steps,
                "cg_kwargs": {"name": None} | products,
            }
        },
        callback=lambda samples, _: rounds.append((clock.read(), samples)),
    )
    return rounds


def ln_density_map(values: np.ndarray, grid: Grid) -> xr.Dataset:
    """ln rho on a grid, as a map."""
    axes = dict(zip(AXES, grid.axes, strict=True))
    both = {"ln_density": (AXES, values), "density": (AXES, np.exp(values))}
    return xr.Dataset(both, axes)


def scored(
    run: Run, model: Model, place: Place, ways: list[tuple[Observations, Callable]]
) -> dict[str, Any]:
    """A place on the way to the maximum against the truth and the stars."""
    fit = np.asarray(model.ln_density(place.xi), np.float64)
    scores = recovery(
        ln_density_map(run.true, run.grid),
        ln_density_map(fit, run.grid),
        half_widths=run.grid.half_widths,
        fraction=FRACTION,
        shells=24,
        order=None,
        ball=True,
    )
    residuals = [
        float(np.log(np.mean((stars.extinction - np.asarray(extinctions(place.xi))) ** 2)))
        for stars, extinctions in ways
    ]
    row = {
        "seconds": place.seconds,
        "cpu_seconds": place.cpu_seconds,
        "products": place.products,
        "energy": place.energy,
        "correlation": scores["correlation"],
        "rms": scores["rms"],
        "ln_mean_square_residual_train": residuals[0],
        "ln_mean_square_residual_heldout": residuals[1],
        "k_per_kpc": scores["shells"]["k_per_kpc"],
        "r": scores["shells"]["r"],
    }
    logger.info(
        "%(seconds).0f s (CPU %(cpu_seconds).0f), %(products)d products: energy %(energy).1f, "
        "correlation %(correlation).4f, rms %(rms).4f, ln(mean residual^2) "
        "%(ln_mean_square_residual_train).3f, held out %(ln_mean_square_residual_heldout).3f",
        row,
    )
    return row


def judged_round(
    run: Run, model: Model, seconds: tuple[float, float], samples: Any
) -> dict[str, Any]:
    """The samples after a round against the truth."""
    fields = np.stack([np.asarray(model.ln_density(xi), np.float64) for xi in samples])
    centre = np.asarray(model.ln_density(samples.pos), np.float64)
    true = run.inner(run.true)
    times = dict(zip(("seconds", "cpu_seconds"), seconds, strict=True))
    row = times | judged(true, run.inner(fields))
    row["centre"] = agreement(true, run.inner(centre))
    cover = {name: 100 * part for name, part in row["coverage"].items()}
    logger.info(
        "%.0f s (CPU %.0f), %d samples: correlation %.4f, rms %.4f (std %.4f), covered "
        "%.1f / %.1f %%, with Student's t %.1f / %.1f %%",
        *(row[key] for key in ("seconds", "cpu_seconds", "samples", "correlation", "rms", "std")),
        *(cover[key] for key in ("one_sigma", "two_sided_95", "68", "95")),
    )
    return row


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?", default=Path("results/original"))
    parser.add_argument("--cells", type=int, nargs=3, default=[128, 128, 32])
    parser.add_argument("--kernel", default="deconvolved", choices=["deconvolved", "trilinear"])
    parser.add_argument("--band", action="store_true", help="the spectrum ends with the truth's")
    parser.add_argument("--precision", default="float64", choices=["float32", "float64"])
    parser.add_argument("--products", type=int, default=100, help="of each Newton step")
    parser.add_argument("--seconds", type=float, default=300, help="no step begins after these")
    parser.add_argument("--enough", type=float, default=None, help="gain to stop at")
    parser.add_argument("--samples", type=int, default=0, help="an even number; 0: none")
    parser.add_argument("--rounds", type=int, default=3, help="of drawing and moving the centre")
    parser.add_argument("--sample-products", type=int, default=200, help="of a solution at most")
    parser.add_argument("--absdelta", type=float, default=0.1, help="of a linear sample")
    parser.add_argument("--xtol", type=float, default=1e-3, help="of curved samples and centre")
    parser.add_argument("--curvature-steps", type=int, default=8)
    parser.add_argument("--kl-steps", type=int, default=10)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--output", type=Path, default=Path("results/bench/nifty.json"))
    return parser.parse_args()


def main() -> None:
    """Fit, sample, score, write."""
    options = parsed()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    runtime.configure(cache=".jax_cache")
    run = Run.read(options.run, options.cells)
    clock = Clock()
    dtype = jnp.dtype(options.precision)
    model = Model(run.grid, run.order, options.band, options.kernel, dtype)
    seen = model.rays(run.train)
    likelihood = model.likelihood(run.train, seen)
    setup_seconds, _ = clock.read()
    places = maximum(likelihood, model.start(), options)
    ways = [(run.train, seen), (run.heldout, jax.jit(model.rays(run.heldout)))]
    found = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(options).items()
    }
    found |= {"stars": len(run.train), "setup_seconds": setup_seconds}
    found["rows"] = [scored(run, model, place, ways) for place in places]
    if options.samples:
        rounds = rounds_of_samples(likelihood, places[-1].xi, options)
        found["posterior"] = [judged_round(run, model, *one) for one in rounds]
    write_json(options.output, found)


if __name__ == "__main__":
    main()
