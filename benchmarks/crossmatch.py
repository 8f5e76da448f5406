"""Time and memory of a cross-match of two large catalogues.

    python benchmarks/crossmatch.py --rows 1000000

Both catalogues hold the same stars, a third of them crowded along a great circle, 24.75 years of
proper motion apart, with one motion in a hundred missing.
"""

import argparse
import resource
import sys
import time

import numpy as np

from dust3d.config.catalogues import Crossmatch
from dust3d.crossmatch.pairs import Sky, match
from dust3d.crossmatch.report import chance_rate


def skies(rows: int) -> tuple[Sky, Sky]:
    """Two catalogues of the same stars, in the same order."""
    rng = np.random.default_rng(1)
    ra = rng.uniform(0, 360, rows)
    dec = np.rad2deg(np.arcsin(rng.uniform(-1, 1, rows)))
    crowded = rng.uniform(0, 1, rows) < 1 / 3
    dec[crowded] = rng.normal(0, 3, crowded.sum())
    motion = rng.normal(0, 30, (2, rows))
    known = np.where(rng.uniform(0, 1, rows) < 0.01, np.nan, motion)
    unknown = np.full(rows, np.nan)
    first = Sky(ra, dec, known[0], known[1], 2016.0)
    moved = Sky(ra, dec, motion[0], motion[1], 2016.0).at(1991.25)
    noise = rng.normal(0, 0.02, (rows, 3)) / 206265
    x, y, z = (moved + noise).T
    second = Sky(
        np.rad2deg(np.arctan2(y, x)) % 360, np.rad2deg(np.arcsin(z)), unknown, unknown, 1991.25
    )
    return first, second


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    first, second = skies(rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    settings = Crossmatch(radius_arcsec=1.0)
    start = time.perf_counter()
    pairs = match(first, second, settings)
    matched = time.perf_counter()
    chance = chance_rate(first, second, settings)
    end = time.perf_counter()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    right = float(np.mean(pairs.first == pairs.second))
    sys.stdout.write(
        f"{rows} x {rows} rows: {len(pairs.first)} pairs, {right:.5f} of them right\n"
        f"match {matched - start:.1f} s, {chance['skies']} shifted skies {end - matched:.1f} s\n"
        f"peak memory {after:.0f} MB, {before:.0f} MB of it before the match\n"
    )


if __name__ == "__main__":
    main()
