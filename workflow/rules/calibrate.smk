"""Simulation-based calibration: mocks from the prior, each fitted and sampled; only on demand.

`snakemake calibrate --configfile ...` makes it; a run without that target has none of it.
"""

CALIBRATED = CONFIG.sampled_fits() if CONFIG.calibration is not None else []


def calibration_parts(wildcards):
    """Ranks of all jobs of one fit."""
    jobs = -(-CONFIG.calibration.mocks // CONFIG.calibration.per_job)
    return [f"{RESULTS}/calibration/{wildcards.fit}-{part}.json" for part in range(jobs)]


rule calibration_ranks:
    input:
        environment=ancient(CHECKED),
    output:
        f"{RESULTS}/calibration/{{fit}}-{{part}}.json",
    log:
        f"{RESULTS}/logs/calibration_ranks-{{fit}}-{{part}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/calibration_ranks-{{fit}}-{{part}}.tsv"
    wildcard_constraints:
        fit="fourier-[0-9x]+",
        part="[0-9]+",
    threads: 1
    params:
        settings=lambda wildcards: CONFIG.fit_settings(wildcards.fit),
        posterior=CONFIG.settings("posterior")["posterior"],
        calibration=CONFIG.settings("calibration")["calibration"],
        part=lambda wildcards: int(wildcards.part),
        seed=CONFIG.seed,
        source=source_digest("dust3d.stages.calibrate"),
    script:
        "../scripts/calibration_ranks.py"


rule calibration:
    input:
        parts=calibration_parts,
    output:
        f"{RESULTS}/calibration/{{fit}}.json",
    log:
        f"{RESULTS}/logs/calibration-{{fit}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/calibration-{{fit}}.tsv"
    wildcard_constraints:
        fit="fourier-[0-9x]+",
    threads: 1
    params:
        level=CONFIG.calibration.band if CONFIG.calibration is not None else None,
        seed=CONFIG.seed,
        source=source_digest("dust3d.stages.calibrated"),
    script:
        "../scripts/calibration.py"


rule calibrate:
    input:
        calibrations=expand(f"{RESULTS}/calibration/{{fit}}.json", fit=CALIBRATED),
    output:
        figures=expand(f"{RESULTS}/figures/{{fit}}-calibration.png", fit=CALIBRATED),
    log:
        f"{RESULTS}/logs/calibrate.log",
    benchmark:
        f"{RESULTS}/benchmarks/calibrate.tsv"
    threads: 1
    params:
        settings=CONFIG.figure_settings(),
        seed=CONFIG.seed,
        source=source_digest("dust3d.stages.figures.calibration"),
    script:
        "../scripts/calibrate.py"
