from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import posterior

    posterior.collect(
        fit=snakemake.input.field,
        parts=snakemake.input.parts,
        output=snakemake.output[0],
        **snakemake.params,
    )
