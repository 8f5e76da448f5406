"""How far a finished fit is from its maximum: one more Newton step, solved well and taken.

    python benchmarks/maximum.py --results results/original --config config/original.yaml

From the fit as it was saved, a step by conjugate gradients of many products, on exact rays: what
the quadratic model promises after so many of them, and by how much ln p rises along the step.
"""

import argparse
import json
from pathlib import Path

import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from dust3d import runtime
from dust3d.config.run import load
from dust3d.inference.build import target_for
from dust3d.inference.conjugate import solve
from dust3d.inference.feed import Feed
from dust3d.inference.iterative import IterativeProblem, sample_size
from dust3d.inference.memory import Budget
from dust3d.inference.prior import size_of
from dust3d.inference.products import Products
from dust3d.inference.settings import FitSettings
from dust3d.inference.sources import ResidentStars, shuffled
from dust3d.io.reports import read_json
from dust3d.io.stars import read_split
from dust3d.stages.fit_start import warm_start

ROOT = Path(__file__).resolve().parent.parent
COUNTS = (10, 50, 100, 300)
LENGTHS = (1.0, 0.5, 0.25)
EXACT_BATCH = 16_384


def another_step(results: Path, config_path: Path, name: str) -> dict:
    """What one more step promises and brings, for one fit of a run."""
    runtime.configure()
    config = load(config_path)
    settings = FitSettings.parse(config.fit_settings(name))
    train, heldout = read_split(
        *(results / f"stars/{part}.h5" for part in ("train", "heldout")),
        settings.box.half_widths_kpc,
    )
    fit = results / f"fits/{name}"
    summary = read_json(fit / "fit.json", ["rays"])
    target = target_for(settings, len(train.class_names), config.seed, settings.dtype)
    xi = warm_start(settings, train.class_names, target, fit / "field.h5")
    seed, n = config.seed, len(train)
    stars = ResidentStars(train, seed, shuffled(n, seed))
    feed = Feed(
        settings, stars, ResidentStars(heldout, seed), seed, Budget(False, None), size_of(xi)
    )
    products = Products(target, feed.finest(), xi)
    exact = Products(target, feed.exact(summary["rays"]["nodes"], EXACT_BATCH), xi)
    block = settings.optimiser.newton.block_parameters
    problem = IterativeProblem(
        products,
        stars.take(0, min(n, sample_size(size_of(xi), block))),
        nodes=summary["rays"]["nodes"],
        block=block,
        tolerance=1.0,
        share=0.0,
        most=1,
        seed=seed,
        gradient=exact,
    )
    flat, _ = ravel_pytree(xi)
    near = problem.preconditioner(flat)
    value, gradient = exact.slope(flat)
    anchors = products.expand(flat)[2]
    promised, step = {}, jnp.zeros_like(flat)
    for most in COUNTS:
        found = solve(
            lambda v: products.multiply(flat, anchors, v),
            near,
            gradient,
            share=1e-9,
            most=most,
        )
        promised[most], step = found.gain, found.x
    risen = {
        length: exact.log_posterior(problem.along(flat, step, length)) - value for length in LENGTHS
    }
    return {"fit": name, "stars": n, "promised": promised, "risen": risen}


def main() -> None:
    """Print and write the rise for each fit of a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=ROOT / "results/original")
    parser.add_argument("--config", type=Path, default=ROOT / "config/original.yaml")
    parser.add_argument("--output", type=Path, default=ROOT / "results/bench/maximum.json")
    options = parser.parse_args()
    rows: list[dict] = []
    if not any(options.results.glob("fits/fourier-*/fit.json")):
        raise SystemExit(f"{options.results}: no finished fits there; name them by --results")
    for path in sorted(options.results.glob("fits/fourier-*/fit.json")):
        row = another_step(options.results, options.config, path.parent.name)
        rows.append(row)
        print(
            f"{row['fit']:18} promised",
            ", ".join(f"{gain:.0f} ({n} products)" for n, gain in row["promised"].items()),
            "; rises by",
            ", ".join(f"{rise:.0f} (length {length})" for length, rise in row["risen"].items()),
            f"; limit {1e-3 * row['stars']:.0f}",
            flush=True,
        )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
