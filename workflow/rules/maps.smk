"""Fields on the grid that all maps of a run share.

A map is a folder. Jobs wait for its zarr.json: Snakemake would put a file of its own into a
`directory()`, which readers of zarr complain about.
"""


rule truth_map:
    input:
        field=f"{RESULTS}/truth/field.h5",
    output:
        f"{RESULTS}/truth/map.zarr/zarr.json",
    log:
        f"{RESULTS}/logs/truth_map.log",
    benchmark:
        f"{RESULTS}/benchmarks/truth_map.tsv"
    threads: 1
    params:
        settings=CONFIG.settings("box", "map"),
        seed=CONFIG.seed,
        source=source_digest("dust3d.stages.maps"),
    script:
        "../scripts/truth_map.py"


rule fit_map:
    input:
        field=f"{RESULTS}/fits/{{fit}}/field.h5",
        train=f"{RESULTS}/stars/train.h5",
        samples=samples_of,
    output:
        f"{RESULTS}/maps/{{fit}}.zarr/zarr.json",
    log:
        f"{RESULTS}/logs/fit_map-{{fit}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_map-{{fit}}.tsv"
    threads: 1
    params:
        settings=CONFIG.settings("box", "map"),
        seed=CONFIG.seed,
        source=source_digest("dust3d.stages.maps"),
    script:
        "../scripts/fit_map.py"
