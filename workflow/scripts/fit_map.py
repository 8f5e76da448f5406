from os.path import dirname

from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import maps

    maps.fit_map(
        fit=snakemake.input.field,
        train=snakemake.input.train,
        samples=snakemake.input.samples or None,
        output=dirname(snakemake.output[0]),
        **snakemake.params,
    )
