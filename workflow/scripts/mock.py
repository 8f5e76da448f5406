from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import mock

    mock.make(
        **snakemake.output,
        **snakemake.params,
    )
