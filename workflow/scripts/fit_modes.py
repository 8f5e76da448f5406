from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import figures

    figures.fit_figures(
        name=snakemake.wildcards.fit,
        field=snakemake.input.field,
        outputs=dict(snakemake.output.items()),
        **snakemake.params,
    )
