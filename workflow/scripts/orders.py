from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import orders

    orders.choice(
        fits=list(snakemake.input.fits),
        evidence=list(snakemake.input.evidence),
        samples=list(snakemake.input.samples),
        train=snakemake.input.train,
        heldout=snakemake.input.heldout,
        output=snakemake.output[0],
        **snakemake.params,
    )
