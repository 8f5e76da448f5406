"""Time and errors of one value and gradient of the likelihood, by every way to extinctions.

    python benchmarks/rays.py

In one process, by turns: production, exact, separable and reference rays as fits use them
(`Batches`, `Target.log_likelihood` under `jit`, whitened parameters, float32); the neural ODE and
nodes with a direct sum over the modes; and the two transforms of the exact rays by FINUFFT's own
package, with nothing around them. Boxes, priors and production rays are those of
config/original.yaml; the field is a draw of the prior, the stars' extinctions come from another
draw. Slow ways see fewer stars (`stars`); production rays also see all of them. The result, a
list of rows, goes to results/bench/rays.json.
"""

import argparse
import importlib.util
import logging
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dust3d import runtime
from dust3d.files import write_json
from dust3d.keys import generator_for
from dust3d.progress import logger

REPOSITORY = Path(__file__).resolve().parents[1]
ORDERS = ((10, 10, 2), (20, 20, 4), (40, 40, 8))
METHODS = ("production", "exact", "separable", "diffrax", "direct", "finufft")
STARS, ALL_STARS = 4096, 131_072
SIGMA_MAG, EXTENT = 0.1, 0.8
SEED = 17
# products of stars and modes that one gradient of the slow ways may take
MOST_PRODUCTS = {"direct": 3.4e6, "diffrax": 1.7e6}
# a scheme's spectrum, ln rho, rho and sharpened rho, there and back, in single precision
GRID_BYTES_PER_VOXEL = 8 * 4


@dataclass
class Case:
    """Something that is timed: what it computes, for how many stars, and what is known of it."""

    method: str
    stars: int
    call: Callable[[], Any]
    known: dict[str, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Once more, timed."""
        started = time.perf_counter()
        self.call()
        self.seconds.append(time.perf_counter() - started)


class Experiment:
    """Stars, a field to take gradients at, and the truth about both, at one order.

    Parameters
    ----------
    order
        Of the field.
    stars
        How many most ways see.
    all_stars
        How many production rays see besides.
    kernel, oversampling
        Of production rays; none: as in config/original.yaml.
    """

    def __init__(
        self,
        order: Sequence[int],
        stars: int,
        all_stars: int,
        kernel: str | None = None,
        oversampling: float | None = None,
    ):
        from dust3d.observations import Observations
        from dust3d.rays import nodes
        from dust3d.transforms.nonuniform import Evaluator

        self.order, self.stars = tuple(order), stars
        self._content = yaml.safe_load((REPOSITORY / "config" / "original.yaml").read_text())
        self._content["fits"] = {"fourier": {"orders": [list(order)]}}
        self._content["prior"].pop("std_scale_kpc")
        self._content["likelihood"] = {"error_inflation": {"median": 1.0, "fit": False}}
        chosen = {"kernel": kernel, "oversampling": oversampling}
        given = {key: value for key, value in chosen.items() if value is not None}
        self._content["rays"]["production"] |= given
        self.box = tuple(self._content["box"]["half_widths_kpc"])
        self.field, truth = self._draw(SEED + 1), self._draw(SEED)
        generator = generator_for(SEED, "benchmark: stars")
        positions = generator.uniform(-EXTENT, EXTENT, (all_stars, 3)) * np.asarray(self.box)
        settings = self.settings("exact")
        self.nodes = settings.first_nodes(float(np.linalg.norm(positions, axis=1).max()))
        extinction = nodes.extinctions(truth, positions, self.nodes, Evaluator(accuracy=1e-5))
        extinction += generator.normal(0, SIGMA_MAG, all_stars)
        sigma, classes = np.full(all_stars, SIGMA_MAG), np.zeros(all_stars, np.int64)
        self.observations = Observations(positions, extinction, sigma, classes, ("A",))
        self._references: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def _draw(self, seed: int):
        from dust3d.config.base import Box
        from dust3d.config.mock import FourierTruth
        from dust3d.mock.truths import draw_truth

        given = self._content["mock"]["truth"] | {"order": list(self.order)}
        return draw_truth(FourierTruth(**given), Box(half_widths_kpc=self.box), seed)

    def settings(self, method: str, precision: str = "float32", **exact: Any):
        """Those of a fit by one way; `exact` as the section `rays.exact`."""
        from dust3d.config import run as config
        from dust3d.inference.settings import FitSettings

        rays = self._content["rays"] | {"method": method, "exact": exact}
        optimiser = self._content["optimiser"] | {"precision": precision}
        parsed = config.parse(self._content | {"rays": rays, "optimiser": optimiser})
        name = "fourier-" + "x".join(map(str, self.order))
        return FitSettings.parse(parsed.fit_settings(name))

    def target(self, dtype: Any):
        """The posterior, and the whitened parameters of the field."""
        import jax

        from dust3d.inference.build import target_for

        target = target_for(self.settings("exact"), 1, SEED, dtype)
        mean, series = self.field.parts
        parts = target.prior.parts
        white = {"varying": parts["varying"].whiten(series), "mean": parts["mean"].whiten(mean)}
        xi = {"field": white, "likelihood": target.likelihood.start()}
        return target, jax.tree.map(lambda leaf: leaf.astype(dtype), xi)

    def first(self, stars: int):
        """The first of the stars."""
        return self.observations.take(np.arange(stars))

    def reference(self, stars: int) -> tuple[np.ndarray, np.ndarray]:
        """Extinctions and gradient: double precision, separable, twice the usual nodes."""
        if stars not in self._references:
            settings = self.settings(
                "exact", "float64", nodes=2 * self.nodes, evaluator="separable"
            )
            fit = Fit(self, settings, stars)
            self._references[stars] = (fit.extinctions(), fit.gradient())
        return self._references[stars]

    def errors(self, stars: int, extinctions: np.ndarray, gradient: np.ndarray) -> dict[str, float]:
        """99th percentile of |A - A_ref| [sigma], and relative L2 of the gradient's error."""
        exact, by_exact = self.reference(stars)
        return {
            "value_error": float(np.percentile(np.abs(extinctions - exact), 99) / SIGMA_MAG),
            "gradient_error": float(np.linalg.norm(gradient - by_exact) / np.linalg.norm(by_exact)),
        }


class Fit:
    """One value and gradient as a fit computes it, all stars in one batch.

    Parameters
    ----------
    experiment
        Stars and field.
    settings
        Of the fit.
    stars
        How many of them.
    direct
        Whether modes are summed one by one.
    """

    def __init__(self, experiment: Experiment, settings: Any, stars: int, direct: bool = False):
        import equinox as eqx
        import jax
        from peers import DirectPrior

        from dust3d.inference.batches import rows_in_order
        from dust3d.inference.build import batches_for
        from dust3d.inference.choice import choose_rays

        observations = experiment.first(stars)
        options = {}
        if settings.ray_method == "production":
            options["choice"] = choose_rays(settings, observations, batches=1, seed=SEED)
        started = time.perf_counter()
        self.batches = batches_for(settings, observations, rows_in_order(stars, stars), **options)
        self.setup_seconds = time.perf_counter() - started
        self.settings, self.options = settings, options
        target, self._xi = experiment.target(settings.dtype)
        if direct:
            target = replace(target, prior=DirectPrior(target.prior))
        self._arguments = self.batches.at(0)

        @eqx.filter_jit
        def value_and_gradient(xi, *some):
            return jax.value_and_grad(target.log_likelihood)(xi, *some)

        @eqx.filter_jit
        def moments(xi, rays, batch):
            return rays.moments(target.prior.field(xi["field"]), batch, False)[0]

        self._value_and_gradient, self._moments = value_and_gradient, moments

    def step(self) -> Any:
        """ln p of all stars, and its gradient."""
        import jax

        return jax.block_until_ready(self._value_and_gradient(self._xi, *self._arguments))

    def extinctions(self) -> np.ndarray:
        """A [mag] of all stars."""
        rays, batch, _ = self._arguments
        return np.asarray(self._moments(self._xi, rays, batch))

    def gradient(self) -> np.ndarray:
        """That in all coefficients of the series."""
        series = self.step()[1]["field"]["varying"]
        return np.concatenate([series["cos"], series["sin"]]).astype(np.float64)


class Copy:
    """A plain copy of so many bytes, the cores sharing it."""

    def __init__(self, size: float):
        n = runtime.cores()
        self._parts = [np.ones((2, int(size) // n // 8)) for _ in range(n)]
        self._pool = ThreadPoolExecutor(n)
        self.bytes = sum(part[0].nbytes for part in self._parts)

    def __call__(self) -> None:
        """Copy."""
        list(self._pool.map(lambda part: np.copyto(part[1], part[0]), self._parts))


def fewer(experiment: Experiment, method: str) -> int:
    """Stars that a slow way can see in seconds."""
    from dust3d.fields.modes import fourier_modes

    most = MOST_PRODUCTS.get(method, np.inf) / len(fourier_modes(experiment.order))
    return int(min(experiment.stars, max(most, 1)))


def nodes_known(fit: Fit) -> dict[str, Any]:
    """Of exact rays: nodes, and how the series is evaluated there."""
    rays, exact = fit.batches.rays, fit.settings.rays.exact
    points = sum(count * nodes for count, nodes in rays.bands)
    return {
        "nodes": rays.nodes,
        "points_per_star": points / fit.batches.number,
        "transform_accuracy": exact.transform_accuracy,
    }


def rays_known(fit: Fit) -> dict[str, Any]:
    """Of production rays: grids, kernel and bytes."""
    rays, stars = fit.batches.rays, fit.batches.number
    blocks = rays.matrix.source.blocks(0)
    held = sum(b.data.nbytes + b.indices.nbytes + b.indptr.nbytes for b in blocks)
    kernel, oversampling = fit.options["choice"]
    return {
        "kernel": kernel,
        "oversampling": oversampling,
        "grids": [list(grid.cells) for grid in rays.scheme.grids],
        "entries_per_star": sum(b.nnz for b in blocks) / stars,
        "bytes_per_star": held / stars,
        "ray_bytes": held,
        "grid_bytes": GRID_BYTES_PER_VOXEL * rays.scheme.size,
        "setup_us_per_star": 1e6 * fit.setup_seconds / stars,
    }


def cases(experiment: Experiment, methods: Sequence[str]) -> list[Case]:
    """All that takes turns at one order; each has run once, and its errors are known."""
    made = []

    def add(method: str, settings: Any, stars: int, known: Callable[[Fit], dict[str, Any]]):
        fit = Fit(experiment, settings, stars, direct=method in ("direct", "diffrax"))
        checked = min(stars, experiment.stars)
        some = fit if checked == stars else Fit(experiment, settings, checked)
        found = experiment.errors(checked, some.extinctions(), some.gradient())
        fit.step()
        made.append(Case(method, stars, fit.step, found | {"error_stars": checked} | known(fit)))
        logger.info("%s: %s with %d stars: %s", experiment.order, method, stars, found)

    stars = experiment.stars
    exact = experiment.settings("exact")
    if "production" in methods:
        for number in dict.fromkeys((stars, len(experiment.observations))):
            add("production", experiment.settings("production"), number, rays_known)
            plain = Copy(made[-1].known["ray_bytes"])
            plain()
            made.append(Case("copy", number, plain, {"bytes": plain.bytes}))
    if "exact" in methods:
        add("exact", exact, stars, nodes_known)
    if "separable" in methods:
        add("separable", experiment.settings("exact", evaluator="separable"), stars, nodes_known)
    if "diffrax" in methods:
        settings, number = experiment.settings("reference"), fewer(experiment, "diffrax")
        add("diffrax", settings, number, lambda fit: fit.settings.rays.reference.model_dump())
    if "direct" in methods:
        add("direct", exact, fewer(experiment, "direct"), nodes_known)
    if "finufft" in methods:
        made += finufft_cases(experiment, Fit(experiment, exact, stars))
    return made


def finufft_cases(experiment: Experiment, fit: Fit) -> list[Case]:
    """FINUFFT's transforms alone, and with the points sorted each time."""
    from peers import Nodes, PlainFinufft

    stars, (mean, series) = fit.batches.number, experiment.field.parts
    accuracy = fit.settings.rays.exact.transform_accuracy
    plain = PlainFinufft(Nodes.of(fit.batches.rays), series, accuracy)
    found, density = plain.extinctions(series, float(mean.ln_density), stars)
    observed = experiment.first(stars)
    by_coefficient = plain.gradient((observed.extinction - found) / observed.sigma**2, density)
    target, _ = experiment.target(np.dtype("float64"))
    scales = np.tile(np.asarray(target.prior.parts["varying"].scales), 2)
    errors = experiment.errors(stars, found, scales * by_coefficient)
    logger.info("%s: finufft with %d stars: %s", experiment.order, stars, errors)
    known = errors | {"error_stars": stars} | nodes_known(fit)
    plain.transforms(), plain.transforms_and_plans()
    return [
        Case("finufft", stars, plain.transforms, known),
        Case("finufft with plans", stars, plain.transforms_and_plans),
    ]


def take_turns(made: list[Case], rounds: int, most_seconds: float) -> None:
    """Run all in turn, slow ones (but twice) no longer than so many seconds in all."""
    for number in range(rounds):
        for case in made:
            if number < 2 or sum(case.seconds) + case.seconds[-1] <= most_seconds:
                case.run()


def rows(experiment: Experiment, made: list[Case]) -> list[dict[str, Any]]:
    """What was found, a row for each way and number of stars."""
    least = {(case.method, case.stars): min(case.seconds) for case in made}
    found = []
    for case in made:
        if case.method not in METHODS:
            continue
        best = least[case.method, case.stars]
        row = {
            "method": case.method,
            "order": list(experiment.order),
            "stars": case.stars,
            "us_per_star": 1e6 * best / case.stars,
            **case.known,
            "us_per_star_median": 1e6 * float(np.median(case.seconds)) / case.stars,
            "repeats": len(case.seconds),
            "dtype": "float32",
            "threads": runtime.cores(),
        }
        if case.method == "finufft":
            both = least["finufft with plans", case.stars]
            row["us_per_star_with_plans"] = 1e6 * both / case.stars
        if case.method == "production":
            row |= against_copy(row, best, least["copy", case.stars])
        found.append(row)
    return found


def against_copy(row: dict[str, Any], seconds: float, copy_seconds: float) -> dict[str, float]:
    """Time over that of a plain copy of R, and of a copy of all that a gradient must touch."""
    touched = 2 * row["ray_bytes"] + row["grid_bytes"]
    touched_seconds = copy_seconds * touched / row["ray_bytes"]
    return {
        "copy_us_per_star": 1e6 * copy_seconds / row["stars"],
        "copy_gb_per_s": 1e-9 * row["ray_bytes"] / copy_seconds,
        "over_copy": seconds / copy_seconds,
        "touched_bytes_per_star": touched / row["stars"],
        "touched_us_per_star": 1e6 * touched_seconds / row["stars"],
        "over_touched": seconds / touched_seconds,
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=STARS)
    parser.add_argument("--all-stars", type=int, default=ALL_STARS)
    parser.add_argument("--order", type=int, nargs=3, action="append", metavar="M")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--kernel", help="of production rays; else as in config/original.yaml")
    parser.add_argument("--oversampling", type=float)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=12, help="the most that one case may take")
    parser.add_argument("--output", type=Path, default=Path("results/bench/rays.json"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    runtime.configure(cache=".jax_cache")
    methods = list(arguments.methods)
    if "finufft" in methods and importlib.util.find_spec("finufft") is None:
        methods.remove("finufft")
        logger.warning("finufft is not installed and left out: pip install -e '.[bench]'")
    found = []
    for order in arguments.order or ORDERS:
        experiment = Experiment(
            order, arguments.stars, arguments.all_stars, arguments.kernel, arguments.oversampling
        )
        made = cases(experiment, methods)
        take_turns(made, arguments.rounds, arguments.seconds)
        found += rows(experiment, made)
        write_json(arguments.output, found)
    for row in found:
        logger.info(
            "%-10s %-12s %7d stars %10.3f us a star, errors %.2g sigma, %.2g",
            row["method"],
            "x".join(map(str, row["order"])),
            row["stars"],
            *(row[key] for key in ("us_per_star", "value_error", "gradient_error")),
        )


if __name__ == "__main__":
    main()
