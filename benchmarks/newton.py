"""Products that a Newton step takes, by preconditioner.

    snakemake --cores all --configfile config/original.yaml
    python benchmarks/newton.py --results results/original

Takes the fit of order [20, 20, 4] of a finished run to begin order [40, 40, 8], and solves the
first Newton step there with no preconditioner, with the diagonal in shells of k, with the
dense block of long waves and that diagonal, and with the block and wave packets.
Writes results/bench/newton.json: what a step gains after so many products.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from dust3d import runtime
from dust3d.config.run import load
from dust3d.fields.modes import wavenumbers
from dust3d.inference.batches import rows_in_order
from dust3d.inference.build import batches_for, target_for
from dust3d.inference.conjugate import solve
from dust3d.inference.iterative import IterativeProblem, sample_size
from dust3d.inference.lowmodes import join, split
from dust3d.inference.products import Products
from dust3d.inference.settings import FitSettings
from dust3d.io.stars import read_split
from dust3d.stages.fit_start import warm_start

ROOT = Path(__file__).resolve().parent.parent
COUNTS = (5, 10, 20, 50, 100)
PROBES = 20
SHELLS = 60


def diagonal(products: Products, flat: jax.Array, anchors: list, k: np.ndarray) -> jax.Array:
    """The metric's diagonal by random signs, averaged over shells of k."""
    rng, total = np.random.default_rng(0), np.zeros(flat.size)
    for _ in range(PROBES):
        signs = jnp.asarray(rng.choice([-1.0, 1.0], flat.size), flat.dtype)
        total += np.asarray(signs * products.multiply(flat, anchors, signs))
    found = products.unravel(jnp.asarray(total / PROBES, flat.dtype))
    edges = np.quantile(k, np.linspace(0, 1, SHELLS + 1)[1:-1])
    shell = np.digitize(k, edges)
    varying = found["field"]["varying"]
    both = np.asarray(varying["cos"] + varying["sin"]) / 2
    mean = np.bincount(shell, both) / np.bincount(shell)
    smooth = jnp.asarray(np.maximum(mean[shell], 1), flat.dtype)
    found["field"]["varying"] = {"cos": smooth, "sin": smooth}
    return jnp.maximum(ravel_pytree(found)[0], 1)


def main() -> None:
    """Solve the step with each, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=ROOT / "results/original")
    parser.add_argument("--config", type=Path, default=ROOT / "config/original.yaml")
    parser.add_argument("--output", type=Path, default=ROOT / "results/bench/newton.json")
    options = parser.parse_args()
    runtime.configure()
    config = load(options.config)
    settings = FitSettings.parse(config.fit_settings("fourier-40x40x8"))
    stars = [options.results / f"stars/{name}.h5" for name in ("train", "heldout")]
    train, _ = read_split(*stars, settings.box.half_widths_kpc)
    target = target_for(settings, len(train.class_names), config.seed, settings.dtype)
    below = options.results / "fits/fourier-20x20x4/field.h5"
    xi = warm_start(settings, train.class_names, target, below)
    flat, _ = ravel_pytree(xi)

    rows = rows_in_order(len(train), len(train))
    products = Products(target, batches_for(settings, train, rows), xi)
    _, gradient, anchors = products.expand(flat)
    newton = settings.optimiser.newton
    block = newton.block_parameters
    some = np.random.default_rng(1).permutation(len(train))[: sample_size(flat.size, block)]
    problem = IterativeProblem(
        products,
        train.take(some),
        nodes=55,
        block=block,
        tolerance=1.0,
        share=0.0,
        most=1,
        seed=config.seed,
    )
    started = time.perf_counter()
    problem.uphill(flat)
    making = time.perf_counter() - started
    assert problem.near is not None
    near = problem.near
    modes = target.prior.parts["varying"].modes
    scale = diagonal(products, flat, anchors, wavenumbers(modes, settings.box.half_widths_kpc))

    def block_and_diagonal(v: jax.Array) -> jax.Array:
        vector, undo, _ = split(products.unravel(v), near.low)
        _, _, high = split(products.unravel(v / scale), near.low)
        return ravel_pytree(join(undo(near.block.solve(vector)), high))[0]

    ways: dict[str, Callable[[jax.Array], jax.Array]] = {
        "none": lambda v: v,
        "diagonal in shells of k": lambda v: v / scale,
        "dense block, diagonal": jax.jit(block_and_diagonal),
        "dense block, wave packets": near,
    }
    table = []
    for name, precondition in ways.items():
        gains = {}
        for most in COUNTS:
            found = solve(
                lambda v: products.multiply(flat, anchors, v),
                precondition,
                gradient,
                share=0.0,
                most=most,
            )
            gains[most] = found.gain
        table.append({"preconditioner": name, "gain": gains})
        print(f"{name:28}", "  ".join(f"{n}: {g:9.0f}" for n, g in gains.items()), flush=True)
    print(f"making block and packets, one product, compiling: {making:.1f} s")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"stars": len(train), "rows": table}, indent=1))


if __name__ == "__main__":
    main()
