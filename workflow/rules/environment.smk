"""The first job: is the node's environment that of the host, and what is there to compute on?

It runs again when a version has changed; the others, which come after it by `ancient()`, do not.
"""

ENVIRONMENT = f"{RESULTS}/logs/environment.json"
# stays when a later check fails, or all that was made after it would be made again
CHECKED = f"{RESULTS}/logs/environment.checked"

# a job on a node reads this file anew, and would compare the node with itself
if workflow.is_main_process:
    os.environ[runtime.HOST_VERSIONS] = json.dumps(versions())
elif runtime.HOST_VERSIONS not in os.environ:
    sys.exit(
        "dust3d: variables of the host where the run was started did not come to this job; does "
        "the cluster's `sbatch` pass them on (SBATCH_EXPORT, a plugin of the site)?"
    )


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
        expected=json.loads(os.environ[runtime.HOST_VERSIONS]),
        source=source_digest("dust3d.stages.environment"),
    script:
        "../scripts/environment.py"
