from os.path import dirname

from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import maps

    maps.truth_map(
        field=snakemake.input.field,
        output=dirname(snakemake.output[0]),
        **snakemake.params,
    )
