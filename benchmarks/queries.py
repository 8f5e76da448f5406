"""Time and memory of what comes after and before a fit: maps on grids, queries, cross-match.

    python benchmarks/queries.py

Each in a process of its own, twice: the first time programs are compiled, too. The field is a
draw of the prior of config/original.yaml. The result goes to results/bench/queries.json.
"""

import argparse
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from dust3d import runtime
from dust3d.files import write_json
from dust3d.keys import generator_for
from dust3d.progress import logger

BOX = (10.0, 10.0, 2.0)
CUBE = (1.0, 1.0, 1.0)
SEED = 17
EXTENT = 0.8


def drawn(order: tuple[int, ...], box: tuple[float, ...]):
    """A field of ln rho, as the truth of config/original.yaml."""
    from dust3d.config.base import Box
    from dust3d.config.mock import FourierTruth
    from dust3d.mock.truths import draw_truth

    truth = FourierTruth(
        kind="fourier", order=order, slope=1.8, mean_density_mag_per_kpc=1.0, draw_mean=True
    )
    return draw_truth(truth, Box(half_widths_kpc=box), SEED)


def gridding(order: tuple[int, ...], box: tuple[float, ...], cells: int) -> Callable[[], Any]:
    """Density and extinction on a grid of cells^3."""
    from dust3d.maps.gridding import grid_map

    field = drawn(order, box)
    return lambda: grid_map(field, box, (cells,) * 3, {})


def places(number: int, rays: int | None) -> SkyCoord:
    """Coordinates uniform in 0.8 of the box; or as many on so many shared rays."""
    generator = generator_for(SEED, "benchmark: coordinates")
    ends = generator.uniform(-EXTENT, EXTENT, (rays or number, 3)) * BOX
    if rays is not None:
        share = (np.arange(number // rays) + 1) / (number // rays)
        ends = (share[:, None] * ends[:, None, :]).reshape(-1, 3)
    distance = np.linalg.norm(ends, axis=1)
    return SkyCoord(
        l=np.arctan2(ends[:, 1], ends[:, 0]) * u.rad,
        b=np.arcsin(ends[:, 2] / distance) * u.rad,
        distance=distance * u.kpc,
        frame="galactic",
    )


def asking(quantity: str, number: int, rays: int | None = None) -> Callable[[], Any]:
    """A quantity of a field of order [40, 40, 8], asked for at coordinates."""
    from dust3d.maps.open import FieldMap

    dust = FieldMap(drawn((40, 40, 8), BOX), BOX, {})
    coordinates = places(number, rays)
    return lambda: dust.query(coordinates, quantity=quantity)


def crossmatch(rows: int) -> Callable[[], Any]:
    """Two catalogues of the same stars."""
    from crossmatch import skies

    from dust3d.config.catalogues import Crossmatch
    from dust3d.crossmatch.pairs import match

    first, second = skies(rows)
    return lambda: match(first, second, Crossmatch(radius_arcsec=1.0))


def tasks(scale: float) -> dict[str, tuple[dict[str, Any], Callable[[], Callable[[], Any]]]]:
    """What is measured: its size, and how it is prepared."""

    def so_many(number: int) -> int:
        return max(1, round(number * scale))

    cells = max(8, round(256 * scale ** (1 / 3)))
    million, rays, some = so_many(1_000_000), so_many(2_000), so_many(100_000)
    million = rays * max(1, million // rays)
    flat, cube = (40, 40, 8), (32, 32, 32)
    return {
        "cross-match": ({"rows": million}, lambda: crossmatch(million)),
        "gridding 40x40x8": (
            {"cells": [cells] * 3, "order": flat, "half_widths_kpc": BOX},
            lambda: gridding(flat, BOX, cells),
        ),
        "gridding 32x32x32": (
            {"cells": [cells] * 3, "order": cube, "half_widths_kpc": CUBE},
            lambda: gridding(cube, CUBE, cells),
        ),
        "density at random": ({"coordinates": million}, lambda: asking("density", million)),
        "extinction on shared rays": (
            {"coordinates": million, "rays": rays},
            lambda: asking("extinction", million, rays),
        ),
        "extinction at random": ({"coordinates": some}, lambda: asking("extinction", some)),
    }


def one(name: str, scale: float, repeats: int) -> dict[str, Any]:
    """Measure one task in this process."""
    runtime.configure()
    size, prepare = tasks(scale)[name]
    call = prepare()
    before, seconds = runtime.peak_resident_bytes(), []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return {
        "task": name,
        **size,
        "seconds": seconds[0],
        "seconds_again": min(seconds[1:], default=None),
        "peak_mb": runtime.peak_resident_bytes() / 1e6,
        "peak_mb_before": before / 1e6,
        "threads": runtime.cores(),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--tasks", nargs="+", default=list(tasks(1)), choices=list(tasks(1)))
    parser.add_argument("--output", type=Path, default=Path("results/bench/queries.json"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        json.dump(one(arguments.one, arguments.scale, arguments.repeats), sys.stdout)
        return
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    found = []
    for name in arguments.tasks:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found.append(json.loads(done.stdout))
        logger.info(
            "%(task)s: %(seconds).2f s, again %(seconds_again)s s, %(peak_mb).0f MB", found[-1]
        )
        write_json(arguments.output, found)


if __name__ == "__main__":
    main()
