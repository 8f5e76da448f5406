from os.path import dirname

from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import figures

    figures.fit_animation(
        name=snakemake.wildcards.fit,
        history=snakemake.input.history,
        truth_map=dirname(snakemake.input.truth_map or "") or None,
        output=snakemake.output[0],
        **snakemake.params,
    )
