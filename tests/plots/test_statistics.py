import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.figure import Figure
from tests.plots.helpers import drawn, images, labels, outside, overlaps
from tests.plots.products import make_map, make_recovery, make_scores

from dust3d.fields.fourier import FourierField
from dust3d.plots.animation import gif, training_film
from dust3d.plots.crossmatch import crossmatch_figure
from dust3d.plots.history import history_figure
from dust3d.plots.modes import (
    amplitudes,
    mode_figure,
    rms_on_cylinder,
    rms_on_plane,
    wave_vectors,
)
from dust3d.plots.orders import order_figure
from dust3d.plots.residuals import Predictions, binned, residual_figure
from dust3d.plots.skymaps import healpix_means, healpix_on_cells, sky_cells
from dust3d.plots.spectra import Power, map_power, power_spectra, recovery_spectra
from dust3d.plots.stars import Stars, star_figure
from dust3d.plots.style import density_norm, difference_norm, fit_label, lines_for


def readable(figure, *units):
    assert overlaps(figure) == []
    assert outside(figure) == []
    for unit in units:
        assert unit in labels(figure)


def line(ax, label):
    return next(found for found in ax.lines if found.get_label() == label)


def test_power_of_one_mode():
    spectrum = map_power(make_map(cells=(16, 16, 8), wave=0.8))
    # the variance of 0.8 cos(pi x), over the modes of its shell
    assert spectrum.power.argmax() == 0
    assert spectrum.k[0] == pytest.approx(np.pi, rel=1e-6)
    # k and -k along x carry 0.32 each, those along y nothing
    assert spectrum.power[0] == pytest.approx(0.16, rel=1e-6)


def test_power_of_a_draw_is_that_of_the_prior(modes):
    rng = np.random.default_rng(3)
    half_widths = (1.0, 1.0, 0.2)
    k = np.linalg.norm(np.pi * modes / np.array(half_widths), axis=1)
    scales = k**-1.8
    draws = []
    grid = make_map(cells=(12, 12, 8))
    axes = [jnp.asarray(grid[name].values) for name in "xyz"]
    for _ in range(12):
        a, b = scales * rng.normal(size=(2, len(modes)))
        field = FourierField((4, 4, 2), half_widths, a, b, True)
        grid["ln_density"] = (("x", "y", "z"), np.asarray(field.on_grid(axes)))
        draws.append(map_power(grid, shells=6))
    # the two lowest shells hold modes of the field alone
    mean = np.mean([draw.power[:2] for draw in draws], axis=0)
    np.testing.assert_allclose(mean, draws[0].k[:2] ** -3.6, rtol=0.6)


def test_spectra_show_the_scores(fit):
    recovery = make_recovery(4)
    figure = recovery_spectra({"fourier-4x4x2": recovery, "mlp-64x64": make_recovery(6)})
    readable(figure, "[rad / kpc]", "[pc]")
    power, correlation, transfer = figure.axes[:3]
    shown = correlation.lines[0]
    np.testing.assert_allclose(shown.get_xdata(), recovery["shells"]["k_per_kpc"])
    np.testing.assert_allclose(shown.get_ydata(), recovery["shells"]["r"])
    np.testing.assert_allclose(transfer.lines[1].get_ydata(), 1.0)
    assert transfer.get_ylabel() == r"$T=\sqrt{P_\mathrm{fit}/P_\mathrm{true}}$"
    assert line(correlation, "truth cut to the fit's modes").get_linestyle() != "-"
    np.testing.assert_allclose(line(power, "truth").get_ydata(), recovery["shells"]["power_truth"])
    rms = next(p for p in figure.axes[3].patches if p.get_linewidth() > 1).get_data()
    np.testing.assert_allclose(rms.values, [0.2, np.nan])
    pointer = next(found for found in correlation.lines if found.get_marker() == "v")
    assert pointer.get_xdata()[0] == pytest.approx(np.pi / recovery["resolution_kpc"])


def test_one_spectrum_names_its_resolution():
    figure = recovery_spectra({"fourier-4x4x2": make_recovery(4)})
    readable(figure)
    assert any(text.get_text() == "262 pc" for text in figure.axes[1].texts)


def test_shells_without_a_value_are_gaps():
    recovery = make_recovery(4)
    recovery["shells"]["r"][2] = None
    recovery["resolution_kpc"] = None
    figure = recovery_spectra({"fourier-4x4x2": recovery})
    assert np.isnan(figure.axes[1].lines[0].get_ydata()[2])


def test_spectrum_without_a_truth(fit):
    prior = Power(np.array([3.0, 10.0]), np.array([0.1, 0.01]))
    figure = power_spectra({"fourier-4x4x2": map_power(fit)}, {"fourier-4x4x2": prior})
    readable(figure, "[rad / kpc]")
    assert any(np.array_equal(found.get_ydata(), prior.power) for found in figure.axes[0].lines)


def test_modes_on_planes():
    modes = np.array([[1, 0, 0], [1, 0, 1], [0, 2, 0]])
    plane = rms_on_plane(modes, np.array([3.0, 4.0, 1.0]))
    assert plane.shape == (3, 5)
    assert plane[2, 2] == plane[0, 2] == pytest.approx(np.sqrt(12.5))
    assert plane[1, 4] == plane[1, 0] == 1.0
    assert np.isnan(plane[1, 2])
    rings, cylinder = rms_on_cylinder(modes, np.ones(3), np.array([3.0, 4.0, 1.0]))
    assert rings[0] == pytest.approx(-np.pi / 2)
    np.testing.assert_allclose(cylinder, [[np.nan, np.nan], [3, 4], [1, np.nan]])


def test_wave_vectors():
    found = wave_vectors(np.array([[1, 0, -2]]), np.array([1.0, 1.0, 0.5]))
    np.testing.assert_allclose(found, [[np.pi, 0, -4 * np.pi]])


@pytest.mark.parametrize("ndim", [2, 3])
def test_mode_figure(modes, ndim):
    rng = np.random.default_rng(4)
    modes = np.unique(modes[:, :ndim], axis=0)
    modes = modes[(modes != 0).any(axis=1)]
    half_widths = np.array([1.0, 1.0, 0.2])[:ndim]
    cos, sin = rng.normal(size=(2, len(modes)))
    scales = np.full(len(modes), 1.0)
    figure = mode_figure("fourier-4x4x2", modes, half_widths, cos, sin, scales)
    readable(figure, "[rad / kpc]")
    np.testing.assert_allclose(images(figure)[0], rms_on_plane(modes, amplitudes(cos, sin)))
    dots = figure.axes[ndim - 1].collections[0].get_offsets()
    np.testing.assert_allclose(dots[:, 1], np.sqrt((cos**2 + sin**2) / 2))


def test_a_fit_of_zeros_can_be_drawn(modes):
    zeros = np.zeros(len(modes))
    readable(mode_figure("fourier-4x4x2", modes, np.array([1.0, 1.0, 0.2]), zeros, zeros))


def test_bins_hold_equal_numbers():
    x = np.arange(100.0)
    rows = binned(x, np.where(x < 50, 1.0, 3.0), 2)
    np.testing.assert_allclose(rows.middle, [24.5, 74.5])
    np.testing.assert_allclose(rows.median, [1, 3])
    assert binned(np.array([np.nan]), np.array([1.0]), 3).middle.size == 0


def test_residual_figure(stars):
    figure = residual_figure("fourier-4x4x2", stars)
    readable(figure, "[mag]", "[kpc]")
    classes = [label.get_text() for label in figure.axes[3].get_xticklabels()]
    assert classes == ["A", "F", "none"]
    used = stars.heldout & np.isfinite(stars.observed_mag)
    # the outermost permille of both axes are off the panel
    assert images(figure)[0].sum() == pytest.approx(used.sum(), abs=3)


def test_residuals_of_a_ring_of_stars(stars):
    flat = Predictions(**{**vars(stars), "b_deg": np.zeros_like(stars.b_deg)})
    readable(residual_figure("fourier-4x4", flat), "[deg]")


def test_residuals_without_held_out_stars(stars):
    none = Predictions(**{**vars(stars), "heldout": np.zeros_like(stars.heldout)})
    readable(residual_figure("fourier-4x4x2", none))


def test_healpix_means_are_means():
    l, b = np.array([10.0, 10.1, 200.0, 201.0]), np.array([5.0, 5.1, -40.0, -40.0])
    pixels = healpix_means(l, b, np.array([1.0, 3.0, 5.0, np.nan]), nside=1)
    assert sorted(pixels[np.isfinite(pixels)]) == [2.0, 5.0]
    l_edges, b_edges = sky_cells(10.0)
    cells = healpix_on_cells(pixels, 1, l_edges, b_edges)
    at = (np.searchsorted(-l_edges, -10.0) - 1, np.searchsorted(b_edges, 5.0) - 1)
    assert cells[at] == 2.0


def test_history_shows_what_was_written(history):
    figure = history_figure("fourier-4x4x2", history, parameters=10, stars=400)
    readable(figure, "[ln (1 / mag)]")
    loss, score = figure.axes
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), history["loss"])
    seen = np.isfinite(history["heldout_score"])
    np.testing.assert_array_equal(
        line(score, "held out").get_ydata(), history["heldout_score"][seen]
    )
    assert loss.get_title() == fit_label("fourier-4x4x2") + ", 10 parameters, 400 stars, 10 s"


@pytest.mark.parametrize("mock", [True, False])
def test_order_figure(mock):
    scores = [make_scores("fourier-4x4x2", 4, mock=mock), make_scores("mlp-64x64", 6, mock=mock)]
    figure = order_figure(scores)
    readable(figure, "[ln (1 / mag)]", r"[$\sigma$]")
    assert len(figure.axes) == (3 if mock else 2)
    levels = [found.get_ydata()[0] for found in figure.axes[0].lines if found.get_ls() == "--"]
    assert {0.5, 0.4} <= {round(float(level), 6) for level in levels}
    places = [c.lines[0].get_ydata()[0] for c in figure.axes[0].containers]
    np.testing.assert_allclose(places, [0.4, 0.6])
    widths = figure.axes[1]
    figure.canvas.draw()
    legend = widths.get_legend().get_window_extent()
    for label, width in (("catalogue's errors", 1.3), ("predicted half-width", 1.0)):
        shown = line(widths, label)
        np.testing.assert_allclose(shown.get_ydata(), width)
        points = widths.transData.transform(shown.get_xydata())
        assert not any(legend.contains(*point) for point in points)


def test_order_figure_without_errors_or_baselines():
    scores = make_scores("fourier-4x4x2", 4, mock=False)
    scores["heldout"]["log_predictive_density"]["standard_error"] = None
    scores["heldout"].pop("baselines")
    readable(order_figure([scores]))


@pytest.mark.parametrize("first", [0.0, 1e-3])
def test_crossmatch_figure(first):
    edges = np.concatenate([[first], np.geomspace(2e-3, 1.0, 20)])
    counts = np.arange(20)
    figure = crossmatch_figure(
        edges,
        counts,
        radius_arcsec=1.0,
        chance_pairs=4.0,
        ambiguous=counts // 5,
        facts={"completeness": "99.9 % of 100 known", "purity": "100 %"},
    )
    readable(figure, "[arcsec]")
    drawn_counts = figure.axes[0].patches[0].get_data()
    np.testing.assert_array_equal(drawn_counts.values, counts)
    chance = next(p for p in figure.axes[0].patches if "chance" in p.get_label()).get_data().values
    # the area within the first edge is all that is missing
    assert np.nansum(chance) == pytest.approx(4.0, rel=1e-4)


@pytest.mark.parametrize("deep", [True, False])
def test_star_figure(stars, deep):
    found = Stars(
        stars.l_deg, stars.b_deg * deep, stars.distance_kpc, stars.observed_mag, stars.heldout
    )
    figure = star_figure(found)
    readable(figure, "[kpc]", "[mag]")
    dots = figure.axes[0].collections[0]
    good = np.isfinite(stars.observed_mag)
    np.testing.assert_allclose(dots.get_array(), np.sort(stars.observed_mag[good]))
    order = np.argsort(stars.observed_mag[good])
    np.testing.assert_allclose(dots.get_offsets(), found.positions_kpc[good][order][:, :2])


def test_film_has_one_frame_per_snapshot(history, truth):
    frames = list(training_film("fourier-4x4x2", history, truth, dpi=40))
    assert len(frames) == 3
    assert not np.array_equal(frames[0], frames[2])
    assert gif(frames, comment="origin")[:6] == b"GIF89a"


def test_labels_of_fits():
    assert fit_label("fourier-10x10x2").split() == ["Fourier", "10", "×", "10", "×", "2"]
    assert fit_label("mlp-64x64-wide").endswith("(wide)")
    assert fit_label("other") == "other"
    names = [f"fourier-{i}" for i in range(1, 9)] + [f"mlp-{i}" for i in range(1, 9)]
    assert len({found.colour for found in lines_for(names[:8])}) == 8


def test_scales_ignore_what_cannot_be_drawn():
    values = np.array([np.nan, -1.0, 0.0, 1.0, 10.0])
    norm = density_norm(values)
    assert 0.9 < norm.vmin < norm.vmax < 10.1
    assert difference_norm(np.array([np.nan])).vmax == 1.0
    assert density_norm(np.full(3, np.nan)).vmax == 1.0


def test_figures_leave_the_users_style_alone(history):
    before = dict(rcParams)
    drawn(history_figure("fourier-4x4x2", history))
    assert dict(rcParams) == before


def test_the_checks_of_readability_check():
    figure = Figure(figsize=(4, 3))
    ax = figure.add_axes((0.2, 0.2, 0.7, 0.7))
    ax.set(xlabel="distance [kpc]", xlim=(0, 1), ylim=(0, 1))
    readable(figure, "[kpc]")
    ax.text(0.5, 0.5, "one")
    ax.text(0.52, 0.5, "two")
    assert overlaps(figure) == [("two", "one")]
    ax.text(1.3, 0.3, "too far")
    assert outside(figure) == ["too far"]
