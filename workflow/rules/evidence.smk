"""Log evidence of each Fourier fit, and which of a run's fits the data support.

Runs without a section `evidence` can ask for the files of these rules by name.
"""

EVIDENCE = expand(f"{RESULTS}/fits/{{fit}}/evidence.json", fit=CONFIG.fourier_fits())
ORDERS = [f"{RESULTS}/scores/orders.json"] if CONFIG.evidence is not None else []


rule evidence:
    input:
        field=f"{RESULTS}/fits/{{fit}}/field.h5",
        summary=f"{RESULTS}/fits/{{fit}}/fit.json",
        train=f"{RESULTS}/stars/train.h5",
        heldout=f"{RESULTS}/stars/heldout.h5",
    output:
        f"{RESULTS}/fits/{{fit}}/evidence.json",
    log:
        f"{RESULTS}/logs/evidence-{{fit}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evidence-{{fit}}.tsv"
    wildcard_constraints:
        fit="fourier-[0-9x]+",
    threads: 2
    params:
        settings=lambda wildcards: CONFIG.fit_settings(wildcards.fit),
        evidence=CONFIG.settings("evidence")["evidence"],
        seed=CONFIG.seed,
        source=source_digest("dust3d.stages.evidence"),
    script:
        "../scripts/evidence.py"


rule orders:
    input:
        fits=expand(f"{RESULTS}/fits/{{fit}}/field.h5", fit=FITS),
        summaries=expand(f"{RESULTS}/fits/{{fit}}/fit.json", fit=FITS),
        evidence=EVIDENCE,
        samples=expand(f"{RESULTS}/fits/{{fit}}/samples.h5", fit=SAMPLED),
        train=f"{RESULTS}/stars/train.h5",
        heldout=f"{RESULTS}/stars/heldout.h5",
    output:
        f"{RESULTS}/scores/orders.json",
    log:
        f"{RESULTS}/logs/orders.log",
    benchmark:
        f"{RESULTS}/benchmarks/orders.tsv"
    threads: 1
    params:
        settings=CONFIG.settings("box", "likelihood", "scores"),
        seed=CONFIG.seed,
        source=source_digest("dust3d.stages.orders"),
    script:
        "../scripts/orders.py"
