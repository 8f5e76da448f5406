"""What runs again after a change, and what does not: the job graph of a finished run."""

import pytest

FITS = {"fourier-2x2x1", "fourier-3x3x1", "mlp-8"}
FIGURES = {"fit_figures", "fit_modes", "fit_animation", "comparison_figures", "star_figures"}
COMPARISON = {"compare": {""}, "comparison_figures": {""}}
PER_FIT = ("fit", "fit_map", "score", "fit_figures", "fit_animation")


def of_fits(*fits: str) -> dict[str, set[str]]:
    """The jobs that new fits bring, and those that compare them."""
    fourier = {fit for fit in fits if fit.startswith("fourier")}
    modes = {"fit_modes": fourier} if fourier else {}
    return {key: set(fits) for key in PER_FIT} | modes | COMPARISON


def test_a_second_run_does_nothing(finished):
    assert finished.jobs() == {}


def test_a_higher_order_adds_its_fit_and_what_compares_them(finished):
    orders = [[2, 2, 1], [3, 3, 1], [5, 5, 2]]
    assert finished.jobs({"fits.fourier.orders": orders}) == of_fits("fourier-5x5x2")


def test_an_order_between_two_also_renews_what_starts_from_it(finished):
    orders = [[2, 2, 1], [3, 2, 1], [3, 3, 1]]
    assert finished.jobs({"fits.fourier.orders": orders}) == of_fits(
        "fourier-3x2x1", "fourier-3x3x1"
    )


def test_an_order_less_only_renews_the_comparison(finished):
    assert finished.jobs({"fits.fourier.orders": [[2, 2, 1]]}) == COMPARISON


def test_a_network_more_adds_its_fit_only(finished):
    assert finished.jobs({"fits.mlp.layers": [[8], [8, 8]]}) == of_fits("mlp-8x8")


def test_a_plot_option_redraws_figures_only(finished):
    assert set(finished.jobs({"plots.dpi": 60})) == FIGURES


def test_an_edit_of_plots_redraws_figures_only(finished):
    with finished.edited("plots/style.py"):
        assert set(finished.jobs()) == FIGURES


def test_films_are_a_matter_of_their_own(finished):
    assert finished.jobs({"plots.animation": False}) == {}
    assert "fit_animation" not in finished.jobs({"plots.animation": False, "plots.dpi": 60})


def test_other_noise_reruns_everything_downstream(finished):
    jobs = finished.jobs({"mock.extinction.noise_mag": 0.06})
    everything = {"mock", "truth_map", "crossmatch", "select", "fit", "fit_map", "score", "compare"}
    assert set(jobs) == everything | FIGURES
    assert jobs["fit"] == FITS


def test_another_seed_reruns_everything(finished):
    assert {"mock", "select", "fit", "score"} <= set(finished.jobs({"seed": 2}))


@pytest.mark.parametrize("module", ["rays/nodes.py", "rays/ode.py"])
def test_an_edit_of_the_rays_refits(finished, module):
    with finished.edited(module):
        assert finished.jobs()["fit"] == FITS


def test_an_edit_that_no_stage_can_reach_is_no_reason(finished):
    with finished.edited("cli/main.py"), finished.edited("config/document.py"):
        assert finished.jobs() == {}


def test_another_prior_keeps_the_stars(finished):
    jobs = finished.jobs({"prior.slope": 2.0})
    assert jobs["fit"] == FITS
    assert not {"mock", "crossmatch", "select", "truth_map"} & set(jobs)


def test_another_grid_of_the_maps_refits_nothing(finished):
    jobs = finished.jobs({"map.cells": [24, 24, 6]})
    assert jobs["fit_map"] == FITS
    assert "fit" not in jobs


def test_another_split_keeps_the_cross_match(finished):
    jobs = finished.jobs({"heldout.fraction": 0.2})
    assert "select" in jobs
    assert not {"mock", "crossmatch"} & set(jobs)


def test_the_optimiser_of_the_networks_is_theirs_alone(finished):
    assert finished.jobs({"optimiser.mlp_method.epochs": 5})["fit"] == {"mlp-8"}
    fourier = {fit for fit in FITS if fit.startswith("fourier")}
    assert finished.jobs({"optimiser.method.epochs": 7})["fit"] == fourier


def test_a_posterior_repeats_no_fit(finished):
    """A finished run gets samples, and what is judged or drawn with them; nothing else."""
    fourier = FITS - {"mlp-8"}
    jobs = finished.jobs({"posterior": {"samples": 8}})
    assert (
        jobs
        == {
            "posterior": fourier,
            "samples": fourier,
            "fit_map": fourier,
            "score": fourier,
            "fit_figures": fourier,
            "posterior_figures": fourier,
        }
        | COMPARISON
    )
    # without it, no such rule is known
    assert not {"posterior", "samples", "posterior_figures"} & set(finished.jobs({"seed": 2}))
