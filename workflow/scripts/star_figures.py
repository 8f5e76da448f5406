from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import figures

    figures.star_figures(
        crossmatch=snakemake.input.crossmatch,
        matched=snakemake.input.matched,
        train=snakemake.input.train,
        heldout=snakemake.input.heldout,
        outputs=dict(snakemake.output.items()),
        **snakemake.params,
    )
