"""One fit per order and per network; an order starts from the one below, if the run says so."""


def start_field(wildcards):
    """Field that a fit starts from, if any: the chain of orders is made of these."""
    start = CONFIG.start_of(wildcards.fit)
    return f"{RESULTS}/fits/{start}/field.h5" if start is not None else []


rule fit:
    input:
        train=f"{RESULTS}/stars/train.h5",
        heldout=f"{RESULTS}/stars/heldout.h5",
        start=start_field,
    # the checkpoint beside these is no output: a job that is run again must find it
    output:
        field=f"{RESULTS}/fits/{{fit}}/field.h5",
        summary=f"{RESULTS}/fits/{{fit}}/fit.json",
        history=f"{RESULTS}/fits/{{fit}}/history.h5",
    log:
        f"{RESULTS}/logs/fit-{{fit}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit-{{fit}}.tsv"
    # the chain of fits is the longest way through a run: maps and scores can wait
    priority: 10
    threads: 2
    params:
        folder=lambda wildcards: f"{RESULTS}/fits/{wildcards.fit}",
        settings=lambda wildcards: CONFIG.fit_settings(wildcards.fit),
        seed=CONFIG.seed,
        source=source_digest("dust3d.stages.fit"),
    script:
        "../scripts/fit.py"
