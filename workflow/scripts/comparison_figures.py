from os.path import dirname

from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import figures

    figures.comparison_figures(
        maps=[dirname(path) for path in snakemake.input.maps],
        scores=list(snakemake.input.scores),
        truth_map=dirname(snakemake.input.truth_map or "") or None,
        outputs=dict(snakemake.output.items()),
        **snakemake.params,
    )
