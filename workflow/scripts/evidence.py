from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d import runtime
    from dust3d.stages import evidence

    runtime.hold_to_memory(snakemake.resources.get("mem_mb"))
    evidence.measure(
        fit=snakemake.input.field,
        train=snakemake.input.train,
        heldout=snakemake.input.heldout,
        output=snakemake.output[0],
        **snakemake.params,
    )
