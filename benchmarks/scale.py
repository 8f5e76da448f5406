"""Time and memory of fits to very many stars: one epoch of Adam and its evaluation, streamed.

    python benchmarks/scale.py --stars 10000000

Fits the stars and twice as many, each in a process of its own, in a box of half-widths
[10, 10, 2] kpc at order [20, 20, 4], and holds the larger one to 2.1 times the time and to no more
memory; time of the processor stands beside, for a machine that is shared. Extinctions come
from a density whose integrals are known, and tables are written in chunks. The result goes to
results/bench/scale.json.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from astropy import units as u
from astropy.table import QTable

from dust3d import runtime
from dust3d.config import run as config
from dust3d.errors import FitError
from dust3d.files import write_json
from dust3d.stages import fit

BOX = (10.0, 10.0, 2.0)
NOISE_MAG = 0.1
ROWS_PER_CHUNK = 500_000
# waves of the true density, cycles per box, and their amplitudes
WAVES = np.array([[1, 0, 0], [2, 1, 0], [1, -3, 1], [4, 2, -1], [6, -5, 1], [9, 4, 2]])
AMPLITUDES = np.array([0.25, 0.2, 0.15, 0.12, 0.1, 0.08])
# what the C library keeps of freed memory wavers by some percent
MOST_TIME, MOST_MEMORY = 2.1, 1.1
RATIOS = ("seconds", "cpu_seconds", "peak_gib")


def extinctions(positions: np.ndarray) -> np.ndarray:
    """Extinctions [mag] behind 0.5 (1 + sum a cos(k x)) mag / kpc: each wave's mean is a sinc."""
    phase = positions @ (np.pi * WAVES / np.asarray(BOX)).T
    column = 1 + np.sinc(phase / np.pi) @ AMPLITUDES
    return 0.5 * np.linalg.norm(positions, axis=1) * column


def stars(number: int, generator: np.random.Generator) -> QTable:
    """A chunk of stars, uniform in 0.8 of the box."""
    positions = generator.uniform(-0.8, 0.8, (number, 3)) * BOX
    distance = np.linalg.norm(positions, axis=1)
    observed = extinctions(positions) + generator.normal(0, NOISE_MAG, number)
    return QTable(
        {
            "source_id": np.arange(number),
            "l": np.degrees(np.arctan2(positions[:, 1], positions[:, 0])) % 360 * u.deg,
            "b": np.degrees(np.arcsin(positions[:, 2] / distance)) * u.deg,
            "distance": distance * u.kpc,
            "extinction": observed * u.mag,
            "extinction_error": np.full(number, NOISE_MAG) * u.mag,
            "class": np.full(number, "A"),
        }
    )


def write_stars(path: Path, number: int, seed: int) -> None:
    """A star table, written in chunks."""
    generator = np.random.default_rng(seed)
    first = stars(1, generator)
    first.write(path, path="stars", serialize_meta=True, overwrite=True)
    with h5py.File(path, "a") as file:
        kind = file["stars"].dtype
        del file["stars"]
        rows = file.create_dataset("stars", (number,), kind)
        for done in range(0, number, ROWS_PER_CHUNK):
            some = stars(min(ROWS_PER_CHUNK, number - done), generator)
            rows[done : done + len(some)] = some.as_array().astype(kind)


def settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Settings of the fit."""
    adam = {"kind": "adam", "epochs": arguments.epochs, "batch": arguments.batch}
    content = {
        "run": "scale",
        "seed": 17,
        "box": {"half_widths_kpc": BOX},
        "mock": {"truth": {"kind": "fourier", "order": [1, 1, 1]}, "stars": {"number": 100}},
        "fits": {"fourier": {"orders": [arguments.order]}},
        # the same grid whatever the stars, so that times compare
        "rays": {"production": {"kernel": "planes", "oversampling": arguments.oversampling}},
        "optimiser": {
            "method": adam,
            "newton": {"max_steps": 0},
            "snapshots": 0,
            "stream": {"true": True, "false": False}.get(arguments.stream, "auto"),
            "memory_gb": arguments.memory_gb,
        },
        "map": {"cells": [8, 8, 8]},
    }
    name = "fourier-" + "x".join(map(str, arguments.order))
    return config.parse(content).fit_settings(name) | {"name": name}


def one(arguments: argparse.Namespace) -> None:
    """Fit so many stars and print what it took."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    folder = arguments.folder
    content = settings(arguments)
    name = content.pop("name")
    started = time.monotonic()
    fit.run(
        name=name,
        train=folder / f"train-{arguments.stars}.h5",
        heldout=folder / f"heldout-{arguments.stars}.h5",
        start=None,
        folder=folder / str(arguments.stars),
        settings=content,
        seed=17,
        source="benchmark",
    )
    seconds, used = time.monotonic() - started, time.process_time()
    summary = json.loads((folder / str(arguments.stars) / "fit.json").read_text())
    row = {
        "stars": arguments.stars,
        "order": arguments.order,
        "epochs": arguments.epochs,
        "batch": arguments.batch,
        "seconds": seconds,
        "cpu_seconds": used,
        "peak_gib": runtime.peak_resident_bytes() / 2**30,
        "ray_error_sigma_p99": summary["rays"]["error_sigma_p99"],
        "cost": summary["cost"],
    }
    json.dump(row, sys.stdout)


def measure(number: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One fit in a process of its own."""
    for name, size, seed in (("train", number, 1), ("heldout", number // 100, 2)):
        path = arguments.folder / f"{name}-{number}.h5"
        if not path.is_file():
            write_stars(path, size, seed)
    command = [sys.executable, __file__, "--one", *sys.argv[1:], "--stars", str(number)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    for name in ("train", "heldout"):
        (arguments.folder / f"{name}-{number}.h5").unlink()
    return json.loads(done.stdout)


def main() -> None:
    """Measure, write, and fail if a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=10_000_000)
    parser.add_argument("--order", type=int, nargs=3, default=[20, 20, 4])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=65_536)
    parser.add_argument("--oversampling", type=float, default=3.2)
    parser.add_argument("--memory-gb", type=float, default=4.0)
    parser.add_argument("--stream", default="auto", choices=["auto", "true", "false"])
    parser.add_argument("--folder", type=Path, default=Path("results/bench/scale"))
    parser.add_argument("--output", type=Path, default=Path("results/bench/scale.json"))
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments)
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rows = [measure(number, arguments) for number in (arguments.stars, 2 * arguments.stars)]
    ratios = {key: rows[1][key] / rows[0][key] for key in RATIOS}
    write_json(arguments.output, {"cores": runtime.cores(), "rows": rows, "ratios": ratios})
    json.dump({"rows": rows, "ratios": ratios}, sys.stdout, indent=1)
    limit = arguments.memory_gb * 1e9 / 2**30
    if max(row["peak_gib"] for row in rows) > limit:
        raise FitError(f"more than {limit:.2f} GiB were held; see {arguments.output}")
    if ratios["seconds"] > MOST_TIME or ratios["peak_gib"] > MOST_MEMORY:
        raise FitError(f"twice the stars cost {ratios}: more than they may")


if __name__ == "__main__":
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", ".jax_cache")
    main()
