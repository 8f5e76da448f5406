"""Clouds of known distance, looked for in the maps of runs that list some."""

CLOUDS = expand(f"{RESULTS}/scores/{{fit}}-clouds.csv", fit=FITS) if CONFIG.clouds else []

if CLOUDS:

    rule clouds:
        input:
            field=f"{RESULTS}/fits/{{fit}}/field.h5",
            samples=samples_of,
        output:
            summary=f"{RESULTS}/scores/{{fit}}-clouds.json",
            table=report(
                f"{RESULTS}/scores/{{fit}}-clouds.csv",
                caption="../report/clouds.rst",
                category="Fits",
                subcategory="{fit}",
            ),
        log:
            f"{RESULTS}/logs/clouds-{{fit}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/clouds-{{fit}}.tsv"
        threads: 1
        params:
            settings=CONFIG.settings("clouds"),
            seed=CONFIG.seed,
            source=source_digest("dust3d.stages.clouds"),
        script:
            "../scripts/clouds.py"
