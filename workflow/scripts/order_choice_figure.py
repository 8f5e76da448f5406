from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import figures

    figures.order_choice_figure(
        choice=snakemake.input.choice,
        outputs=dict(snakemake.output.items()),
        **snakemake.params,
    )
