from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import clouds

    clouds.clouds(
        fit=snakemake.input.field,
        samples=snakemake.input.samples or None,
        output=snakemake.output.summary,
        table=snakemake.output.table,
        **snakemake.params,
    )
