from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import figures

    figures.calibration_figures(
        calibrations=list(snakemake.input.calibrations),
        outputs=list(snakemake.output.figures),
        **snakemake.params,
    )
