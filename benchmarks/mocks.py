"""The mock suite: five known skies, and the real stars beside their twin, in one table of scores.

    python benchmarks/mocks.py                 # all, one after the other
    python benchmarks/mocks.py twin empty      # some
    python benchmarks/mocks.py --collect       # only the table, of the runs that are finished

Each is a run of the pipeline (config/mocks/NAME.yaml). The table goes to benchmarks/mocks.csv: a
row for each run and order; rows of runs that are not asked for, or not finished, stay as they are.
"""

import argparse
import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u

import dust3d
from dust3d import runtime
from dust3d.config.run import Config, load
from dust3d.coords import skycoord
from dust3d.files import atomic_path
from dust3d.io.fields import load_field
from dust3d.io.reports import read_json
from dust3d.scores.sky import sky_directions

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "config" / "mocks"
TABLE = ROOT / "benchmarks" / "mocks.csv"
# the real stars first: the twin and the empty sky have theirs from them
NAMES = ("original", "open", "bubble", "real", "twin", "empty")
SKY_KPC = (0.1, 0.3)

_COVERED = {
    "heldout": ("heldout",),
    "extinction": ("extinction",),
    "column": ("column",),
    "ln_density": ("ln_density", "informed"),
    "ln_density_all": ("ln_density", "all"),
    "smoothed_density": ("smoothed_density", "informed"),
    "smoothed_density_all": ("smoothed_density", "all"),
}
SCORES = {
    "order": ("order",),
    "parameters": ("parameters",),
    "n_heldout": ("heldout", "n"),
    "heldout_lpd": ("heldout", "log_predictive_density", "mean"),
    "heldout_lpd_se": ("heldout", "log_predictive_density", "standard_error"),
    "neighbours_lpd": ("heldout", "baselines", "neighbours", "mean"),
    "samples": ("calibration", "samples"),
    "pit_ks": ("calibration", "pit", "ks"),
    **{
        f"{name}_{percent}{suffix}": ("calibration", "coverage", *keys, percent, entry)
        for name, keys in _COVERED.items()
        for percent in ("68", "95")
        for suffix, entry in (("", "share"), ("_se", "standard_error"))
        if not (suffix and percent == "95")
    },
    "informed_cells": ("calibration", "coverage", "ln_density", "informed", "n"),
    "correlation": ("recovery", "correlation"),
    "correlation_ceiling": ("recovery", "correlation_ceiling"),
    "rms": ("recovery", "rms"),
    "resolution_kpc": ("recovery", "resolution_kpc"),
    "fingers_of_god": ("fingers_of_god", "fit"),
    "fingers_of_god_truth": ("fingers_of_god", "truth"),
    "converged": ("converged",),
    "fit_seconds": ("seconds",),
}
SKY = tuple(
    f"{prefix}sky_{what}_{1e3 * distance:.0f}pc"
    for prefix in ("", "true_")
    for distance in SKY_KPC
    for what in ("median", "p95")
)
SHOWN = ("heldout_lpd", "heldout_68", "extinction_68", "smoothed_density_68", "ln_density_68")
COLUMNS = ("mock", "fit", "seed", "truth_digest", *SCORES, *SKY)


def entry(scores: dict[str, Any], keys: Sequence[str]) -> str:
    """A score as text; empty where there is none."""
    value: Any = scores
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, list):
        return "x".join(map(str, value))
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def sky_extinctions(path: Path, half_widths: Sequence[float], prefix: str) -> dict[str, str]:
    """Median and 95th percentile over the sky of the extinction out to each distance, as text."""
    directions = sky_directions(len(half_widths))
    found, opened = {}, dust3d.open_map(path)
    for distance in SKY_KPC:
        values = opened.extinction(skycoord(distance * directions)).to_value(u.mag)
        found[f"{prefix}sky_median_{1e3 * distance:.0f}pc"] = f"{np.median(values):.4g}"
        found[f"{prefix}sky_p95_{1e3 * distance:.0f}pc"] = f"{np.percentile(values, 95):.4g}"
    return found


def rows_of(name: str, config: Config, results: Path) -> list[dict[str, str]]:
    """A row for each fit of a run that has scores."""
    run, rows = results / config.run, []
    if not (run / "scores").is_dir():
        return rows
    sized = config.box.half_widths_kpc
    near = min(sized) > max(SKY_KPC)
    common = {"mock": name, "seed": str(config.seed), "truth_digest": ""}
    if config.is_mock:
        digest = load_field(run / "truth/field.h5")[1].get("digest")
        common["truth_digest"] = str(digest)
        if near:
            common |= sky_extinctions(run / "truth", sized, "true_")
    for fit in config.fourier_fits():
        path = run / f"scores/{fit}.json"
        if path.is_file():
            scores = read_json(path, ["order", "heldout"])
            row = common | {"fit": fit} | {key: entry(scores, keys) for key, keys in SCORES.items()}
            rows.append(row | (sky_extinctions(run / "fits" / fit, sized, "") if near else {}))
    return rows


def merged(table: Path, new: dict[str, list[dict[str, str]]]) -> list[dict[str, str]]:
    """Rows of a table with those of some runs replaced, in the order of the suite."""
    old: dict[str, list[dict[str, str]]] = {}
    if table.is_file():
        with table.open(newline="") as file:
            for row in csv.DictReader(file):
                old.setdefault(row["mock"], []).append(row)
    return [row for name in NAMES for row in (new.get(name) or old.get(name, []))]


def write(table: Path, rows: list[dict[str, str]]) -> None:
    """Write the table."""
    with atomic_path(table) as aside, aside.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def snakemake(path: Path, folder: Path, cores: str, targets: Sequence[str] = ()) -> None:
    """Run the workflow with one configuration."""
    command = ["snakemake", *targets, "--cores", cores, "--directory", str(folder)]
    subprocess.run([*command, "--configfile", str(path)], cwd=ROOT, check=True)


def run(name: str, folder: Path, cores: str) -> None:
    """Make all products of a run, and before it the stars that it takes from another."""
    path = CONFIGS / f"{name}.yaml"
    if load(path).star_tables():
        snakemake(CONFIGS / "real.yaml", folder, cores, load(path).star_tables())
    snakemake(path, folder, cores)


def main() -> int:
    """Run, collect, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--collect", action="store_true", help="run nothing")
    parser.add_argument("--cores", default="all")
    parser.add_argument("--directory", type=Path, default=ROOT, help="that holds results/")
    parser.add_argument("--output", type=Path, default=TABLE)
    options = parser.parse_args()
    names = options.names or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(
            f"no mock is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}"
        )
    runtime.configure()
    failed = []
    for name in NAMES:
        if name not in names:
            continue
        try:
            if not options.collect:
                run(name, options.directory, options.cores)
        except subprocess.CalledProcessError:
            failed.append(name)
        found = rows_of(name, load(CONFIGS / f"{name}.yaml"), options.directory / "results")
        write(options.output, merged(options.output, {name: found}))
        for row in found:
            print(name, row["fit"], *(f"{key} {row[key]}" for key in SHOWN), flush=True)
    if failed:
        print(
            f"failed: {', '.join(failed)}; the logs are under results/NAME/logs/", file=sys.stderr
        )
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
