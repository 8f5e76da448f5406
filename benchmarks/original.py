"""The original experiment from end to end: our recipe on several skies, the original's on one.

    python benchmarks/original.py --seeds 17 18 19

Runs the whole workflow (mock, cross-match, fits of three orders, maps, scores, figures) of
config/original.yaml for each seed and of config/original_sgd.yaml for the first, each in a
fresh folder, and writes results/bench/original.json.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parent.parent
LAST = "fourier-40x40x8"


def run(config: Path, seed: int, work: Path) -> dict:
    """One run of the workflow, from nothing; its time and its scores."""
    content = yaml.safe_load(config.read_text()) | {"seed": seed}
    folder = work / f"{config.stem}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    written = folder / config.name
    written.write_text(yaml.safe_dump(content, sort_keys=False))
    command = [sys.executable, "-m", "snakemake", "--cores", "all", "--quiet", "all"]
    command += ["--snakefile", str(ROOT / "workflow/Snakefile"), "--directory", str(folder)]
    started = time.perf_counter()
    with (folder / "snakemake.log").open("w") as log:
        done = subprocess.run(
            [*command, "--configfile", str(written)], stdout=log, stderr=log, check=False
        )
    if done.returncode:
        sys.exit(f"{config.name} with seed {seed} failed; see {folder / 'snakemake.log'}")
    seconds = time.perf_counter() - started
    results = folder / "results" / content["run"]
    fits = {
        path.parent.name: json.loads(path.read_text()) for path in results.glob("fits/*/fit.json")
    }
    scores = json.loads((results / f"scores/{LAST}.json").read_text())
    recovery, last = scores["recovery"], fits[LAST]
    return {
        "config": config.name,
        "seed": seed,
        "seconds": seconds,
        "fit_seconds": {name: fit["seconds"] for name, fit in fits.items()},
        "products": {
            name: sum(step["products"] for step in fit["newton"]) for name, fit in fits.items()
        },
        "converged": last["converged"],
        "gain_left": last["newton"][-1]["predicted_gain"] if last["newton"] else None,
        "stars": last["stars"],
        "correlation": recovery["correlation"],
        "rms": recovery["rms"],
        "ln_mean_square_residual_train": scores["train"]["ln_mean_square_residual"],
        "ln_mean_square_residual_heldout": scores["heldout"]["ln_mean_square_residual"],
        "k_per_kpc": recovery["shells"]["k_per_kpc"],
        "r": recovery["shells"]["r"],
        "rays": last["rays"],
    }


def show(row: dict) -> None:
    """One row for people."""
    print(
        f"{row['config']:20} seed {row['seed']}  all {row['seconds']:5.0f} s  fits "
        f"{sum(row['fit_seconds'].values()):5.0f} s  correlation {row['correlation']:.4f}  rms "
        f"{row['rms']:.4f}  ln(mean residual^2) {row['ln_mean_square_residual_train']:.3f} "
        f"(held out {row['ln_mean_square_residual_heldout']:.3f})  converged {row['converged']}",
        flush=True,
    )


def main() -> None:
    """Run all, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[17, 18, 19])
    parser.add_argument("--no-sgd", action="store_true", help="leave the original's recipe out")
    parser.add_argument("--work", type=Path, default=ROOT / "results/bench/original")
    parser.add_argument("--output", type=Path, default=ROOT / "results/bench/original.json")
    options = parser.parse_args()
    rows = []
    for seed in options.seeds:
        rows.append(run(ROOT / "config/original.yaml", seed, options.work))
        show(rows[-1])
    if not options.no_sgd:
        rows.append(run(ROOT / "config/original_sgd.yaml", options.seeds[0], options.work))
        show(rows[-1])
        ours = np.asarray(rows[0]["r"]) - np.asarray(rows[-1]["r"])
        print(f"r(k), ours less the original's, in its worst shell: {ours.min():+.4f}")
    middle = {
        key: float(np.median([r[key] for r in rows if r["config"] == "original.yaml"]))
        for key in ("seconds", "correlation", "rms")
    }
    print("medians over seeds:", ", ".join(f"{key} {value:.4g}" for key, value in middle.items()))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"rows": rows, "median": middle}, indent=1))


if __name__ == "__main__":
    main()
