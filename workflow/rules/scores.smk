"""How well each fit does on stars it has not seen and, for mocks, against the truth."""


rule score:
    input:
        field=f"{RESULTS}/fits/{{fit}}/field.h5",
        summary=f"{RESULTS}/fits/{{fit}}/fit.json",
        map=f"{RESULTS}/maps/{{fit}}.zarr/zarr.json",
        train=f"{RESULTS}/stars/train.h5",
        heldout=f"{RESULTS}/stars/heldout.h5",
        samples=samples_of,
        truth_field=f"{RESULTS}/truth/field.h5" if CONFIG.is_mock else [],
        truth_map=f"{RESULTS}/truth/map.zarr/zarr.json" if CONFIG.is_mock else [],
    output:
        score=f"{RESULTS}/scores/{{fit}}.json",
        predicted=f"{RESULTS}/fits/{{fit}}/predicted.h5",
    log:
        f"{RESULTS}/logs/score-{{fit}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/score-{{fit}}.tsv"
    threads: 1
    params:
        settings=CONFIG.settings("box", "likelihood", "scores"),
        seed=CONFIG.seed,
        source=source_digest("dust3d.stages.scores"),
    script:
        "../scripts/score.py"


rule compare:
    input:
        scores=expand(f"{RESULTS}/scores/{{fit}}.json", fit=FITS),
    output:
        report(
            f"{RESULTS}/comparison.csv",
            caption="../report/comparison.rst",
            category="Comparison",
        ),
    log:
        f"{RESULTS}/logs/compare.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare.tsv"
    threads: 1
    params:
        source=source_digest("dust3d.stages.scores"),
    script:
        "../scripts/compare.py"
