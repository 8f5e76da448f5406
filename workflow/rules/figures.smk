"""Figures. A plot option or an edit of plots/ leads to these rules and to no other."""

FIT_KINDS = ["slices", "columns", "spectrum", "residuals", "history", "sky"]
COMPARISON_KINDS = ["slices", "columns", "spectra", "orders"]
# of fits with samples
POSTERIOR_KINDS = ["uncertainty", "spaghetti", "pit", "sky-std"]
FOURIER_FITS = [fit for fit in FITS if fit.startswith("fourier-")]
TRUTH_MAP = f"{RESULTS}/truth/map.zarr/zarr.json" if CONFIG.is_mock else []

FIGURES = [
    *expand(f"{RESULTS}/figures/compare-{{kind}}.png", kind=COMPARISON_KINDS),
    *expand(f"{RESULTS}/figures/{{fit}}-{{kind}}.png", fit=FITS, kind=FIT_KINDS),
    *expand(f"{RESULTS}/figures/{{fit}}-modes.png", fit=FOURIER_FITS),
    *expand(f"{RESULTS}/figures/{{fit}}-{{kind}}.png", fit=SAMPLED, kind=POSTERIOR_KINDS),
    f"{RESULTS}/figures/crossmatch.png",
    f"{RESULTS}/figures/stars.png",
]
if ORDERS:
    FIGURES.append(f"{RESULTS}/figures/compare-order-choice.png")
if CONFIG.plots.animation:
    FIGURES += expand(f"{RESULTS}/figures/{{fit}}-training.gif", fit=FITS)

PLOT_SETTINGS = CONFIG.figure_settings("box", "prior", "selection")
STAR_PLOT_SETTINGS = CONFIG.figure_settings("box", "crossmatch", "selection")
PLOT_SOURCE = source_digest("dust3d.stages.figures")


def fit_figure(kind, ending="png"):
    """A figure of one fit, with its place and caption in the report."""
    return report(
        f"{RESULTS}/figures/{{fit}}-{kind}.{ending}",
        caption=f"../report/fit-{kind}.rst",
        category="Fits",
        subcategory="{fit}",
        labels={"figure": kind},
    )


def run_figure(name, category):
    """A figure of the whole run, with its place and caption in the report."""
    return report(
        f"{RESULTS}/figures/{name}.png",
        caption=f"../report/{name}.rst",
        category=category,
        labels={"figure": name},
    )


rule fit_figures:
    input:
        field=f"{RESULTS}/fits/{{fit}}/field.h5",
        summary=f"{RESULTS}/fits/{{fit}}/fit.json",
        history=f"{RESULTS}/fits/{{fit}}/history.h5",
        map=f"{RESULTS}/maps/{{fit}}.zarr/zarr.json",
        scores=f"{RESULTS}/scores/{{fit}}.json",
        predicted=f"{RESULTS}/fits/{{fit}}/predicted.h5",
        truth_map=TRUTH_MAP,
    output:
        **{kind: fit_figure(kind) for kind in FIT_KINDS},
    log:
        f"{RESULTS}/logs/fit_figures-{{fit}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_figures-{{fit}}.tsv"
    threads: 1
    params:
        settings=PLOT_SETTINGS,
        seed=CONFIG.seed,
        source=PLOT_SOURCE,
    script:
        "../scripts/fit_figures.py"


rule fit_modes:
    input:
        field=f"{RESULTS}/fits/{{fit}}/field.h5",
    output:
        modes=fit_figure("modes"),
    log:
        f"{RESULTS}/logs/fit_modes-{{fit}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_modes-{{fit}}.tsv"
    wildcard_constraints:
        fit="fourier-[0-9x]+",
    threads: 1
    params:
        settings=PLOT_SETTINGS,
        seed=CONFIG.seed,
        source=PLOT_SOURCE,
    script:
        "../scripts/fit_modes.py"


if SAMPLED:

    rule posterior_figures:
        input:
            field=f"{RESULTS}/fits/{{fit}}/field.h5",
            samples=f"{RESULTS}/fits/{{fit}}/samples.h5",
            map=f"{RESULTS}/maps/{{fit}}.zarr/zarr.json",
            scores=f"{RESULTS}/scores/{{fit}}.json",
            predicted=f"{RESULTS}/fits/{{fit}}/predicted.h5",
            truth_field=f"{RESULTS}/truth/field.h5" if CONFIG.is_mock else [],
            truth_map=TRUTH_MAP,
        output:
            **{kind.replace("-", "_"): fit_figure(kind) for kind in POSTERIOR_KINDS},
        log:
            f"{RESULTS}/logs/posterior_figures-{{fit}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/posterior_figures-{{fit}}.tsv"
        wildcard_constraints:
            fit="fourier-[0-9x]+",
        threads: 1
        params:
            settings=PLOT_SETTINGS,
            seed=CONFIG.seed,
            source=PLOT_SOURCE,
        script:
            "../scripts/posterior_figures.py"


rule fit_animation:
    input:
        history=f"{RESULTS}/fits/{{fit}}/history.h5",
        truth_map=TRUTH_MAP,
    output:
        fit_figure("training", "gif"),
    log:
        f"{RESULTS}/logs/fit_animation-{{fit}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_animation-{{fit}}.tsv"
    threads: 1
    params:
        settings=PLOT_SETTINGS,
        seed=CONFIG.seed,
        source=PLOT_SOURCE,
    script:
        "../scripts/fit_animation.py"


rule comparison_figures:
    input:
        maps=expand(f"{RESULTS}/maps/{{fit}}.zarr/zarr.json", fit=FITS),
        scores=expand(f"{RESULTS}/scores/{{fit}}.json", fit=FITS),
        truth_map=TRUTH_MAP,
    output:
        **{kind: run_figure(f"compare-{kind}", "Comparison") for kind in COMPARISON_KINDS},
    log:
        f"{RESULTS}/logs/comparison_figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/comparison_figures.tsv"
    threads: 1
    params:
        names=FITS,
        settings=PLOT_SETTINGS,
        seed=CONFIG.seed,
        source=PLOT_SOURCE,
    script:
        "../scripts/comparison_figures.py"


rule order_choice_figure:
    input:
        choice=f"{RESULTS}/scores/orders.json",
    output:
        order_choice=run_figure("compare-order-choice", "Comparison"),
    log:
        f"{RESULTS}/logs/order_choice_figure.log",
    benchmark:
        f"{RESULTS}/benchmarks/order_choice_figure.tsv"
    threads: 1
    params:
        settings=CONFIG.figure_settings(),
        seed=CONFIG.seed,
        source=PLOT_SOURCE,
    script:
        "../scripts/order_choice_figure.py"


rule star_figures:
    input:
        crossmatch=f"{RESULTS}/scores/crossmatch.json",
        matched=f"{RESULTS}/stars/matched.h5",
        train=f"{RESULTS}/stars/train.h5",
        heldout=f"{RESULTS}/stars/heldout.h5",
    output:
        crossmatch=run_figure("crossmatch", "Stars"),
        stars=run_figure("stars", "Stars"),
    log:
        f"{RESULTS}/logs/star_figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/star_figures.tsv"
    threads: 1
    params:
        settings=STAR_PLOT_SETTINGS,
        seed=CONFIG.seed,
        source=PLOT_SOURCE,
    script:
        "../scripts/star_figures.py"
