r"""Samples of the posterior on a mock whose truth the prior knows: time, accuracy, coverage.

    python benchmarks/posterior.py --seeds 17 18 19
    python benchmarks/nifty_re.py results/bench/posterior/17/results/posterior \
        --cells 64 64 16 --samples 24

The original experiment made smaller: ln rho of order [16, 16, 4], 16 384 stars, noise 0.3 mag.
Runs the workflow as far as the samples of the finest fit (mock, cross-match, two fits, 63
samples) for each seed, and judges them in all cells of a grid inside 0.8 of the box. The second
command has NIFTy.re do the same. Writes results/bench/posterior.json.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import yaml
from scipy import stats

from dust3d import runtime
from dust3d.fields.base import Field
from dust3d.io.fields import load_field
from dust3d.io.samples import load_samples
from dust3d.rays.grid import Grid

ROOT = Path(__file__).resolve().parent.parent
RUN, FIT = "posterior", "fourier-16x16x4"
CELLS, FRACTION = (64, 64, 16), 0.8
CHANGES = {
    "mock.truth.order": [16, 16, 4],
    "mock.stars.number": 18_204,  # 16 384 are left to fit once the held-out ones are gone
    "mock.extinction.noise_mag": 0.3,
    "fits.fourier.orders": [[8, 8, 2], [16, 16, 4]],
    "prior.std_scale_kpc": 1.25,  # the truth's shortest wavelength
    "optimiser.method.batch": 2048,
    "map.cells": list(CELLS),
    "posterior": {"samples": 63},
}


def configuration(seed: int) -> dict[str, Any]:
    """config/original.yaml, smaller and with a posterior."""
    content = yaml.safe_load((ROOT / "config/original.yaml").read_text())
    for path, value in (CHANGES | {"run": RUN, "seed": seed}).items():
        *sections, key = path.split(".")
        section = content
        for name in sections:
            section = section[name]
        section[key] = value
    return content


def run(seed: int, work: Path) -> Path:
    """The workflow as far as the samples; the folder of its results."""
    folder = work / str(seed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    written = folder / f"{RUN}.yaml"
    written.write_text(yaml.safe_dump(configuration(seed), sort_keys=False))
    command = [sys.executable, "-m", "snakemake", "--cores", "all", "--quiet", "all"]
    command += ["--snakefile", str(ROOT / "workflow/Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(written), "--", f"results/{RUN}/fits/{FIT}/samples.h5"]
    with (folder / "snakemake.log").open("w") as log:
        done = subprocess.run(command, stdout=log, stderr=log, check=False)
    if done.returncode:
        sys.exit(f"the run of seed {seed} failed; see {folder / 'snakemake.log'}")
    return folder / "results" / RUN


def inner_axes(half_widths: tuple[float, ...], cells: tuple[int, ...]) -> list[np.ndarray]:
    """Centres of the cells inside the part of the box that is judged, along each axis [kpc]."""
    axes = Grid(cells, half_widths).axes
    return [
        axis[np.abs(axis) <= FRACTION * half] for axis, half in zip(axes, half_widths, strict=True)
    ]


def agreement(truth: np.ndarray, fit: np.ndarray) -> dict[str, float]:
    """Correlation and rms of ln rho against the truth's."""
    correlation = float(np.corrcoef(truth.ravel(), fit.ravel())[0, 1])
    return {"correlation": correlation, "rms": float(np.sqrt(np.mean((fit - truth) ** 2)))}


def coverage(truth: np.ndarray, samples: np.ndarray) -> dict[str, float]:
    """How often mean +- so many stds has the truth; first axis of `samples`: samples.

    `one_sigma` and `two_sided_95` take 1 and 1.96 standard deviations as they are. A perfect
    posterior of few samples covers less than 68.3 and 95 % so, by the error of their mean and
    std: `68` and `95` make up for that by the quantiles of Student's t.
    """
    number = len(samples)
    away = np.abs(truth - samples.mean(axis=0)) / samples.std(axis=0, ddof=1)
    wider = np.sqrt(1 + 1 / number)
    t68, t95 = (float(stats.t.ppf((1 + p) / 2, number - 1)) * wider for p in (0.68, 0.95))
    limits = {"one_sigma": 1.0, "two_sided_95": 1.96, "68": t68, "95": t95}
    return {name: float(np.mean(away < limit)) for name, limit in limits.items()}


def judged(truth: np.ndarray, samples: np.ndarray) -> dict[str, Any]:
    """The posterior's mean and spread of ln rho against the truth; first axis: samples."""
    found: dict[str, Any] = {"samples": len(samples)} | agreement(truth, samples.mean(axis=0))
    std = np.sqrt(np.mean(samples.var(axis=0, ddof=1)))
    return found | {"std": float(std), "coverage": coverage(truth, samples)}


def seconds_of(results: Path, job: str) -> dict[str, float]:
    """Time of a job of the workflow from start to end of its process, and that of all cores."""
    header, row = (results / "benchmarks" / f"{job}.tsv").read_text().splitlines()[:2]
    columns = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    return {"seconds": float(columns["s"]), "cpu_seconds": float(columns["cpu_time"])}


def row_of(results: Path, seed: int) -> dict[str, Any]:
    """Times, products and scores of one run."""
    truth, attrs = load_field(results / "truth/field.h5")
    field, _ = load_field(results / f"fits/{FIT}/field.h5")
    fits = {
        path.parent.name: json.loads(path.read_text()) for path in results.glob("fits/*/fit.json")
    }
    last = fits[FIT]
    drawn = load_samples(results / f"fits/{FIT}/samples.h5", field)
    axes = [jnp.asarray(axis) for axis in inner_axes(tuple(attrs["half_widths_kpc"]), CELLS)]

    def values(field: Field) -> np.ndarray:
        return np.asarray(field.on_grid(axes), np.float64)

    true = values(truth)
    return {
        "seed": seed,
        "stars": last["stars"],
        "parameters": last["parameters"],
        "true_std": float(true.std()),
        "fits": {name: seconds_of(results, f"fit-{name}") for name in fits},
        "sampling": seconds_of(results, f"posterior-{FIT}-0"),
        "converged": last["converged"],
        "maximum": agreement(true, values(field)),
        "posterior": judged(true, np.stack([values(one) for one in drawn.fields])),
        "products": drawn.solutions["products"].tolist(),
        "missed": drawn.solutions["missed"].tolist(),
        "error_inflation": drawn.likelihood["error_inflation"].tolist(),
    }


def show(row: dict[str, Any]) -> None:
    """One row for people."""
    found, cover = row["posterior"], row["posterior"]["coverage"]
    fits, sampling = row["fits"].values(), row["sampling"]
    print(
        f"seed {row['seed']}: {row['parameters']} parameters, {row['stars']} stars; fits "
        f"{sum(fit['seconds'] for fit in fits):.0f} s (CPU "
        f"{sum(fit['cpu_seconds'] for fit in fits):.0f}; converged: {row['converged']}), "
        f"{found['samples']} samples {sampling['seconds']:.0f} s (CPU "
        f"{sampling['cpu_seconds']:.0f}), products a sample "
        f"{np.median(row['products']):.0f} (most {max(row['products'])}), residual at most "
        f"{max(row['missed']):.2g}\n"
        f"  maximum: correlation {row['maximum']['correlation']:.4f}, rms "
        f"{row['maximum']['rms']:.4f}; mean: {found['correlation']:.4f}, {found['rms']:.4f} "
        f"(std {found['std']:.4f}); covered {100 * cover['one_sigma']:.1f} / "
        f"{100 * cover['two_sided_95']:.1f} %, with Student's t {100 * cover['68']:.1f} / "
        f"{100 * cover['95']:.1f} %",
        flush=True,
    )


def main() -> None:
    """Run all, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[17, 18, 19])
    parser.add_argument("--again", action="store_true", help="judge runs that are there already")
    parser.add_argument("--work", type=Path, default=ROOT / "results/bench/posterior")
    parser.add_argument("--output", type=Path, default=ROOT / "results/bench/posterior.json")
    options = parser.parse_args()
    runtime.configure()
    rows = []
    for seed in options.seeds:
        there = options.work / str(seed) / "results" / RUN
        results = there if options.again else run(seed, options.work)
        rows.append(row_of(results, seed))
        show(rows[-1])
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"changes": CHANGES, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
