from os.path import dirname

from dust3d.progress import job

with job(snakemake.log[0]):
    from dust3d.stages import scores

    scores.score(
        fit_field=snakemake.input.field,
        fit_json=snakemake.input.summary,
        map=dirname(snakemake.input.map),
        samples=snakemake.input.samples or None,
        truth_field=snakemake.input.truth_field or None,
        truth_map=dirname(snakemake.input.truth_map or "") or None,
        train=snakemake.input.train,
        heldout=snakemake.input.heldout,
        output=snakemake.output.score,
        predicted=snakemake.output.predicted,
        **snakemake.params,
    )
