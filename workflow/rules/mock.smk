"""A known sky and the two catalogues that see it."""


rule mock:
    input:
        environment=ancient(CHECKED),
        tables=CONFIG.star_tables(),
    output:
        astrometry=f"{RESULTS}/stars/astrometry.h5",
        extinction=f"{RESULTS}/stars/extinction.h5",
        truth_stars=f"{RESULTS}/truth/stars.h5",
        truth_field=f"{RESULTS}/truth/field.h5",
    log:
        f"{RESULTS}/logs/mock.log",
    benchmark:
        f"{RESULTS}/benchmarks/mock.tsv"
    threads: 2
    params:
        settings=CONFIG.settings("box", "mock"),
        seed=CONFIG.seed,
        source=source_digest("dust3d.stages.mock"),
    script:
        "../scripts/mock.py"
