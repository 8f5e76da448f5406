"""Real catalogues, read into the columns and units of dust3d."""


rule ingest:
    input:
        files=lambda wildcards: CONFIG.catalogue_files(wildcards.role),
        environment=ancient(CHECKED),
    output:
        f"{RESULTS}/stars/{{role}}.h5",
    log:
        f"{RESULTS}/logs/ingest-{{role}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/ingest-{{role}}.tsv"
    threads: 1
    params:
        settings=lambda wildcards: CONFIG.ingest_settings(wildcards.role),
        seed=CONFIG.seed,
        source=source_digest("dust3d.stages.stars"),
    script:
        "../scripts/ingest.py"
