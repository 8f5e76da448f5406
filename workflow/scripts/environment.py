from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d import runtime
    from dust3d.stages import environment

    runtime.hold_to_memory(snakemake.resources.get("mem_mb"))
    environment.check(
        **snakemake.output,
        **snakemake.params,
    )
