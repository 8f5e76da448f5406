from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import scores

    scores.compare(scores=list(snakemake.input.scores), output=snakemake.output[0])
