"""Real catalogues, read into the columns and units of dust3d."""


rule ingest:
    input:
        lambda wildcards: CONFIG.catalogue_files(wildcards.role),
    output:
        f"{RESULTS}/stars/{{role}}.h5",
    log:
        f"{RESULTS}/logs/ingest-{{role}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/ingest-{{role}}.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
        cpus_per_task=1,
        gpu=0,
    params:
        settings=lambda wildcards: CONFIG.ingest_settings(wildcards.role),
        seed=CONFIG.seed,
        source=source_digest("dust3d.stages.stars"),
    script:
        "../scripts/ingest.py"
