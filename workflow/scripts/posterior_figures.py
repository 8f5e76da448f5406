from os.path import dirname

from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import figures

    figures.posterior_figures(
        name=snakemake.wildcards.fit,
        field=snakemake.input.field,
        samples=snakemake.input.samples,
        map=dirname(snakemake.input.map),
        scores=snakemake.input.scores,
        predicted=snakemake.input.predicted,
        truth_field=snakemake.input.truth_field or None,
        truth_map=dirname(snakemake.input.truth_map or "") or None,
        outputs=dict(snakemake.output.items()),
        **snakemake.params,
    )
