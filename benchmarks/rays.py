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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from peers import Nodes, PlainFinufft
from ray_experiment import Experiment, Fit

from dust3d import runtime
from dust3d.fields.modes import fourier_modes
from dust3d.files import write_json
from dust3d.progress import logger

ORDERS = ((10, 10, 2), (20, 20, 4), (40, 40, 8))
METHODS = ("production", "exact", "separable", "diffrax", "direct", "finufft")
STARS, ALL_STARS = 4096, 131_072
MOST_ERROR_SIGMA = 0.5
# products of stars and modes that one gradient of the slow ways may take
MOST_PRODUCTS = {"direct": 3.4e6, "diffrax": 4.3e5}
MOST_REFINEMENTS = 3
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
        "refinements": fit.options["refinements"],
        "grids": [list(grid.cells) for grid in rays.scheme.grids],
        "entries_per_star": sum(b.nnz for b in blocks) / stars,
        "bytes_per_star": held / stars,
        "ray_bytes": held,
        "grid_bytes": GRID_BYTES_PER_VOXEL * rays.scheme.size,
        "setup_us_per_star": 1e6 * fit.setup_seconds / stars,
    }


def cases(experiment: Experiment, methods: Sequence[str]) -> list[Case]:
    """All that takes turns at one order; each has run once, and its errors are known."""
    made, stars = [], experiment.stars

    def add(method: str, fit: Fit, known: dict[str, Any]) -> None:
        found = experiment.errors(fit.batches.number, fit.extinctions(), fit.gradient())
        logger.info("%s: %s with %d stars: %s", experiment.order, method, fit.batches.number, found)
        made.append(Case(method, fit.batches.number, fit.step, found | known))

    exact = experiment.settings("exact")
    if "production" in methods:
        made += production_cases(experiment)
    if "exact" in methods:
        fit = Fit(experiment, exact, stars)
        add("exact", fit, nodes_known(fit))
    if "separable" in methods:
        fit = Fit(experiment, experiment.settings("exact", evaluator="separable"), stars)
        add("separable", fit, nodes_known(fit))
    if "diffrax" in methods:
        settings, number = experiment.settings("reference"), fewer(experiment, "diffrax")
        fit = Fit(experiment, settings, number, direct=True)
        add("diffrax", fit, settings.rays.reference.model_dump())
    if "direct" in methods:
        fit = Fit(experiment, exact, fewer(experiment, "direct"), direct=True)
        add("direct", fit, nodes_known(fit))
    if "finufft" in methods:
        made += finufft_cases(experiment, Fit(experiment, exact, stars))
    return made


def production_cases(experiment: Experiment) -> list[Case]:
    """Production rays, made finer as a fit would, to some stars and to all; copies of their R.

    Errors are those for some of the stars, which all have the same kind of rays.
    """
    settings, stars = experiment.settings("production"), experiment.stars
    limit, made = min(settings.rays.production.max_error_sigma, MOST_ERROR_SIGMA), []
    for refinements in range(MOST_REFINEMENTS + 1):
        fit = Fit(experiment, settings, stars, refinements=refinements)
        found = experiment.errors(stars, fit.extinctions(), fit.gradient())
        logger.info("%s: production rays refined %d x: %s", experiment.order, refinements, found)
        if found["value_error"] <= limit:
            break
    fits = [fit]
    if len(experiment.observations) > stars:
        everything = len(experiment.observations)
        fits.append(Fit(experiment, settings, everything, refinements=refinements))
    for fit in fits:
        known = rays_known(fit)
        plain = Copy(known["ray_bytes"])
        plain()
        fit.step()
        number = fit.batches.number
        made += [
            Case("production", number, fit.step, found | {"error_stars": stars} | known),
            Case("copy", number, plain),
        ]
    return made


def finufft_cases(experiment: Experiment, fit: Fit) -> list[Case]:
    """FINUFFT's transforms alone, and with the points sorted each time."""
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
    known = errors | nodes_known(fit)
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


def missed(found: list[dict]) -> list[str]:
    """What the rows do not reach, at orders where all three ways were measured."""
    said = []
    for order in {tuple(row["order"]) for row in found}:
        by = {row["method"]: row for row in found if tuple(row["order"]) == order}
        if not {"exact", "finufft", "production"} <= by.keys() or order[0] < 20:
            continue
        exact, finufft, production = by["exact"], by["finufft"], by["production"]
        checks = {
            "exact over FINUFFT": (exact["us_per_star"] / finufft["us_per_star"], 1.5),
            "gradient error of exact": (exact["gradient_error"], 1e-4),
            "value error of production [sigma]": (production["value_error"], MOST_ERROR_SIGMA),
        }
        if order[0] >= 40:
            ratio = production["us_per_star"] / finufft["us_per_star"]
            checks["production over FINUFFT"] = (ratio, 0.1)
            checks["production over a copy of what it touches"] = (production["over_touched"], 2)
        name = "x".join(map(str, order))
        said += [
            f"{name}: {what} is {value:.3g}, above {limit:g}"
            for what, (value, limit) in checks.items()
            if not value <= limit
        ]
    return sorted(said)


def main() -> None:
    """Measure, write, and end with 1 if a limit is missed."""
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
    if arguments.stars == STARS and arguments.all_stars == ALL_STARS:
        said = missed(found)
        for sentence in said:
            logger.warning("missed: %s", sentence)
        sys.exit(bool(said))


if __name__ == "__main__":
    main()
