from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import environment

    environment.check(
        **snakemake.output,
        **snakemake.params,
    )
