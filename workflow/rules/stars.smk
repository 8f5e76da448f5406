"""Stars of the two catalogues are paired, chosen, and split into train and held-out."""


rule crossmatch:
    input:
        astrometry=f"{RESULTS}/stars/astrometry.h5",
        extinction=f"{RESULTS}/stars/extinction.h5",
        truth_stars=f"{RESULTS}/truth/stars.h5" if CONFIG.is_mock else [],
        identifications=CONFIG.identification_files(),
    output:
        matched=f"{RESULTS}/stars/matched.h5",
        report=f"{RESULTS}/scores/crossmatch.json",
    log:
        f"{RESULTS}/logs/crossmatch.log",
    benchmark:
        f"{RESULTS}/benchmarks/crossmatch.tsv"
    threads: 2
    params:
        settings=CONFIG.crossmatch_settings(),
        seed=CONFIG.seed,
        source=source_digest("dust3d.stages.stars"),
    script:
        "../scripts/crossmatch.py"


rule select:
    input:
        matched=f"{RESULTS}/stars/matched.h5",
    output:
        train=f"{RESULTS}/stars/train.h5",
        heldout=f"{RESULTS}/stars/heldout.h5",
        report=f"{RESULTS}/scores/stars.json",
    log:
        f"{RESULTS}/logs/select.log",
    benchmark:
        f"{RESULTS}/benchmarks/select.tsv"
    threads: 1
    params:
        settings=CONFIG.settings("box", "crossmatch", "selection", "heldout"),
        seed=CONFIG.seed,
        source=source_digest("dust3d.stages.stars"),
    script:
        "../scripts/select.py"
