"""Samples of the posterior of each Fourier fit, some in each job; jobs of one fit run in parallel."""

SAMPLED = CONFIG.sampled_fits()
PARTS = CONFIG.sample_parts() if SAMPLED else []


def samples_of(wildcards):
    """Samples of a fit, if the run has them: maps and scores then come with uncertainties."""
    return f"{RESULTS}/fits/{wildcards.fit}/samples.h5" if wildcards.fit in SAMPLED else []


if SAMPLED:

    rule posterior:
        input:
            field=f"{RESULTS}/fits/{{fit}}/field.h5",
            summary=f"{RESULTS}/fits/{{fit}}/fit.json",
            train=f"{RESULTS}/stars/train.h5",
            heldout=f"{RESULTS}/stars/heldout.h5",
        output:
            temp(f"{RESULTS}/fits/{{fit}}/samples-{{part}}.h5"),
        log:
            f"{RESULTS}/logs/posterior-{{fit}}-{{part}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/posterior-{{fit}}-{{part}}.tsv"
        wildcard_constraints:
            fit="fourier-[0-9x]+",
            part="[0-9]+",
        threads: 2
        params:
            settings=lambda wildcards: CONFIG.fit_settings(wildcards.fit),
            posterior=CONFIG.settings("posterior")["posterior"],
            part=lambda wildcards: int(wildcards.part),
            seed=CONFIG.seed,
            source=source_digest("dust3d.stages.posterior"),
        script:
            "../scripts/posterior.py"

    rule samples:
        input:
            field=f"{RESULTS}/fits/{{fit}}/field.h5",
            parts=expand(f"{RESULTS}/fits/{{{{fit}}}}/samples-{{part}}.h5", part=PARTS),
        output:
            f"{RESULTS}/fits/{{fit}}/samples.h5",
        log:
            f"{RESULTS}/logs/samples-{{fit}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/samples-{{fit}}.tsv"
        wildcard_constraints:
            fit="fourier-[0-9x]+",
        threads: 1
        params:
            source=source_digest("dust3d.stages.posterior"),
        script:
            "../scripts/samples.py"
