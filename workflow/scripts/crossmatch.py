from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import stars

    stars.crossmatch(
        astrometry=snakemake.input.astrometry,
        extinction=snakemake.input.extinction,
        truth_stars=snakemake.input.truth_stars or None,
        matched=snakemake.output.matched,
        report=snakemake.output.report,
        **snakemake.params,
    )
