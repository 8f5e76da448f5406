"""Speed of two virtual devices, pinned to a core each, against one pinned to one core.

    python benchmarks/devices.py

Each runs the same fit (production rays, Adam) in a process of its own; the two take turns, epoch
by epoch, so that whatever else the machine does meets both alike. The result goes to
results/bench/devices.json.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from dust3d import runtime
from dust3d.errors import FitError
from dust3d.files import write_json

BOX = (10.0, 10.0, 2.0)
SEED = 17
LEAST_SPEEDUP = 1.5
MOST_DIFFERENCE = 1e-3


def worker(arguments: argparse.Namespace) -> None:
    """Set up a fit on so many cores, a device on each; then an epoch for each line of input."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: arguments.worker]))
    runtime.configure(cpu_devices=arguments.worker, cache=".jax_cache")
    import jax

    from dust3d.config import run as config
    from dust3d.inference.adam import Adam
    from dust3d.inference.build import target_for
    from dust3d.inference.feed import Feed
    from dust3d.inference.memory import Budget
    from dust3d.inference.settings import FitSettings
    from dust3d.inference.sources import ResidentStars, shuffled
    from dust3d.observations import Observations

    content = {
        "run": "devices",
        "seed": SEED,
        "box": {"half_widths_kpc": BOX},
        "mock": {"truth": {"kind": "fourier", "order": [1, 1, 1]}, "stars": {"number": 100}},
        "fits": {"fourier": {"orders": [arguments.order]}},
        "rays": {"production": {"kernel": "planes", "oversampling": arguments.oversampling}},
        "optimiser": {"method": {"kind": "adam", "epochs": 1000, "batch": arguments.batch}},
        "map": {"cells": [8, 8, 8]},
    }
    name = "fourier-" + "x".join(map(str, arguments.order))
    settings = FitSettings.parse(config.parse(content).fit_settings(name))
    generator, n = np.random.default_rng(SEED), arguments.stars
    positions = generator.uniform(-0.8, 0.8, (n, 3)) * BOX
    extinction = 0.5 * np.linalg.norm(positions, axis=1) + generator.normal(0, 0.1, n)
    stars = Observations(positions, extinction, np.full(n, 0.1), np.zeros(n, np.int64), ("A",))
    sources = (
        ResidentStars(stars, SEED, shuffled(n, SEED)),
        ResidentStars(stars.take(np.arange(9)), 1),
    )
    batches, _ = Feed(settings, *sources, SEED, Budget(False, None), 1).both()
    target = target_for(settings, 1, SEED, settings.dtype)
    adam = Adam(target, batches, settings.adam)
    xi = target.start(jax.random.key(0))
    state, number, loss = adam.start(xi), 0, np.nan
    for line in sys.stdin:
        if line.strip() == "end":
            break
        started = time.perf_counter()
        for batch in range(batches.count):
            xi, state, loss, _ = adam.step(xi, state, batch, number)
            number += 1
        jax.block_until_ready(xi)
        sys.stdout.write(json.dumps({"seconds": time.perf_counter() - started}) + "\n")
        sys.stdout.flush()
    flat = np.concatenate([np.ravel(a) for a in jax.tree.leaves(xi)])
    found = {"devices": jax.device_count(), "loss": float(loss), "xi": flat.tolist()}
    sys.stdout.write(json.dumps(found) + "\n")


def start(cores: int) -> subprocess.Popen:
    """A worker on so many cores."""
    command = [sys.executable, __file__, *sys.argv[1:], "--worker", str(cores)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)


def ask(process: subprocess.Popen, line: str) -> dict[str, Any]:
    """An answer to one line."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def main() -> None:
    """Measure, write, and fail if a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=1_000_000)
    parser.add_argument("--order", type=int, nargs=3, default=[20, 20, 4])
    parser.add_argument("--oversampling", type=float, default=2.4)
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--output", type=Path, default=Path("results/bench/devices.json"))
    parser.add_argument("--worker", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments)
        return
    processes = {cores: start(cores) for cores in (1, 2)}
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(arguments.repeats):
        for cores, process in processes.items():
            seconds[cores].append(ask(process, "epoch")["seconds"])
    ends = {cores: ask(process, "end") for cores, process in processes.items()}
    one, two = (np.asarray(ends[cores].pop("xi")) for cores in (1, 2))
    # the first epoch compiles
    least = {cores: min(values[1:]) for cores, values in seconds.items()}
    found = {
        "stars": arguments.stars,
        "batch": arguments.batch,
        "order": arguments.order,
        "seconds": {str(cores): values for cores, values in seconds.items()},
        "microseconds_per_star": {str(c): 1e6 * s / arguments.stars for c, s in least.items()},
        "speedup": least[1] / least[2],
        "median_speedup": float(np.median(seconds[1][1:]) / np.median(seconds[2][1:])),
        "difference": float(np.abs(one - two).max() / np.abs(one).max()),
        "ends": {str(cores): end for cores, end in ends.items()},
    }
    write_json(arguments.output, found)
    json.dump({k: v for k, v in found.items() if k != "seconds"}, sys.stdout, indent=1)
    if found["speedup"] < LEAST_SPEEDUP:
        raise FitError(f"two devices are {found['speedup']:.2f} times as fast as one")
    if found["difference"] > MOST_DIFFERENCE:
        raise FitError(f"two devices end {found['difference']:.2g} away from one")


if __name__ == "__main__":
    main()
