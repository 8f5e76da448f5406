"""The first job: is the node's environment that of the host, and what is there to compute on?

It runs again when a version has changed; the others, which come after it by `ancient()`, do not.
"""

ENVIRONMENT = f"{RESULTS}/logs/environment.json"
# stays when a later check fails, or all that was made after it would be made again
CHECKED = f"{RESULTS}/logs/environment.checked"


rule environment:
    output:
        found=ENVIRONMENT,
        checked=update(CHECKED),
    log:
        f"{RESULTS}/logs/environment.log",
    benchmark:
        f"{RESULTS}/benchmarks/environment.tsv"
    threads: 1
    params:
        expected=versions(),
        source=source_digest("dust3d.stages.environment"),
    script:
        "../scripts/environment.py"
