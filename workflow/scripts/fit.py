from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d import runtime
    from dust3d.stages import fit

    runtime.hold_to_memory(snakemake.resources.get("mem_mb"))
    fit.run(
        name=snakemake.wildcards.fit,
        train=snakemake.input.train,
        heldout=snakemake.input.heldout,
        start=snakemake.input.start or None,
        tasks=snakemake.resources.get("tasks") or 1,
        launcher=snakemake.resources.get("mpi"),
        cpus=snakemake.resources.get("cpus_per_task"),
        **snakemake.params,
    )
