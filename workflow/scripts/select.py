from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import stars

    stars.select(
        matched=snakemake.input.matched,
        train=snakemake.output.train,
        heldout=snakemake.output.heldout,
        report=snakemake.output.report,
        **snakemake.params,
    )
