import numpy as np
import pytest
from tests.plots.helpers import images, labels, outside, overlaps
from tests.plots.products import make_map

from dust3d.errors import ConfigError
from dust3d.plots.columns import column_density, compare_columns, fit_columns
from dust3d.plots.planes import Mark, edges
from dust3d.plots.sky import sky_extinction, sky_figure
from dust3d.plots.slices import compare_slices, fit_slices, slice_density

MARKS = [
    Mark("Taurus", 171.0, -15.0, 0.14),
    Mark("Orion", 209.0, -19.0, 0.4),
    Mark("Far", 30.0, 0.0),
]
NAMES = ["fourier-4x4x1", "fourier-10x10x2", "mlp-64x64"]


def test_a_slice_shows_the_density_that_was_given(fit):
    centre = float(fit["z"][2])
    shown = images(fit_slices("fourier-4x4x2", fit, heights_kpc=[centre]))
    np.testing.assert_allclose(shown[0], fit["density"].values[:, :, 2], rtol=1e-12)


def test_a_slice_between_cells_is_linear(fit):
    fit["density"] = fit["density"] * (1 + fit["z"])
    plane = fit["density"].values[:, :, 0] / (1 + float(fit["z"][0]))
    np.testing.assert_allclose(slice_density(fit, 0.05), plane * 1.05, rtol=1e-12)


def test_truth_fit_and_difference_stand_side_by_side(fit, truth):
    known, found, ratio = images(fit_slices("fourier-4x4x2", fit, truth))
    expected = np.log(slice_density(fit, 0.0) / slice_density(truth, 0.0))
    np.testing.assert_allclose(known, slice_density(truth, 0.0), rtol=1e-12)
    np.testing.assert_allclose(found, slice_density(fit, 0.0), rtol=1e-12)
    np.testing.assert_allclose(ratio, expected, rtol=1e-12)


def test_heights_outside_the_map_are_refused(fit):
    with pytest.raises(ConfigError, match=r"plots.slices_kpc: the height 0.3 kpc is outside"):
        fit_slices("fourier-4x4x2", fit, heights_kpc=[0.0, 0.3])


def test_columns_are_integrals(fit):
    expected = np.exp(np.log(0.5) + 0.6 * np.cos(np.pi * fit["x"].values))
    above = column_density(fit, "z")
    np.testing.assert_allclose(above, np.repeat(0.4 * expected[:, None], 12, axis=1), rtol=1e-12)
    side = column_density(fit, "y")
    np.testing.assert_allclose(side, np.repeat(2.0 * expected[:, None], 6, axis=1), rtol=1e-12)


def test_columns_stop_at_the_stars():
    uniform = make_map(cells=(80, 80, 80), half_widths=(1.0, 1.0, 1.0), wave=0.0)
    above = column_density(uniform, "z", reach_kpc=0.5)
    radius = np.hypot(*np.meshgrid(uniform["x"], uniform["y"], indexing="ij"))
    assert np.isnan(above[radius > 0.5]).all()
    chord = 2 * 0.5 * np.sqrt(0.25 - radius[radius < 0.45] ** 2)
    # a chord is cut to whole cells of 0.025 kpc at each end
    np.testing.assert_allclose(above[radius < 0.45], chord, atol=0.5 * 0.025 * 1.01)


def test_a_column_with_a_hole_is_blank(fit):
    fit["density"][3, 4, 2] = np.nan
    assert np.isnan(column_density(fit, "z")[3, 4])
    panel = images(fit_columns("fourier-4x4x2", fit))[0]
    assert panel.mask[3, 4]
    assert panel.mask.sum() == 1


def test_sky_extinction_of_a_uniform_medium():
    uniform = make_map(cells=(40, 40, 40), half_widths=(1.0, 1.0, 1.0))
    l, b = np.meshgrid(np.arange(0.0, 360, 30), np.arange(-80.0, 81, 20))
    np.testing.assert_allclose(sky_extinction(uniform, l, b, 0.4), 0.2, atol=2e-3)


def test_sightlines_end_at_the_box(fit):
    pole = sky_extinction(fit, np.array([0.0]), np.array([90.0]), 0.8)
    # beyond the outermost cell centres the map stays as it is there
    x, z = np.abs(fit["x"].values).min(), fit["z"].values.max()
    np.testing.assert_allclose(pole, 0.5 * np.sqrt(z**2 + 2 * x**2), rtol=1e-12)


def _all_figures(fit, truth, marks=(), reach=None):
    fits = dict.fromkeys(NAMES, fit)
    heights = [0.0, 0.1] if fit.sizes["z"] > 1 else [0.0]
    look = {"marks": marks, "reach_kpc": reach}
    return {
        "slices": fit_slices(NAMES[0], fit, truth, heights_kpc=heights, **look),
        "columns": fit_columns(NAMES[0], fit, truth, **look),
        "sky": sky_figure(NAMES[0], fit, truth, distances_kpc=[0.2, 0.5], marks=marks),
        "compare-slices": compare_slices(fits, truth, heights_kpc=heights, **look),
        "compare-columns": compare_columns(fits, truth, **look),
    }


@pytest.mark.parametrize("known", [True, False], ids=["mock", "real"])
@pytest.mark.parametrize("deep", [True, False], ids=["3-D", "2-D"])
def test_every_map_figure_can_be_read(known, deep):
    cells = (12, 12, 6) if deep else (12, 12, 1)
    fit = make_map(cells=cells, wave=0.6)
    fit["density"][0, 0, 0] = np.nan
    truth = make_map(cells=cells) if known else None
    reach = None if known else 0.5
    for kind, figure in _all_figures(fit, truth, MARKS, reach).items():
        assert overlaps(figure) == [], kind
        assert outside(figure) == [], kind
        text = labels(figure)
        assert "[mag" in text, kind
        assert kind == "sky" or "[kpc]" in text, kind


def test_constant_density_can_be_drawn():
    uniform = make_map(wave=0.0)
    for figure in _all_figures(uniform, uniform).values():
        assert overlaps(figure) == []


def test_marks_are_named_in_the_nearest_slice(fit):
    figure = fit_slices("fourier-4x4x2", fit, heights_kpc=[-0.13, 0.0], marks=MARKS)
    names = [{t.get_text() for t in ax.texts} for ax in figure.axes]
    assert any("Orion" in found and "Taurus" not in found for found in names)
    assert any("Taurus" in found and "Orion" not in found for found in names)
    assert sum("Far" in found for found in names) == 2


def test_edges_of_one_cell():
    np.testing.assert_allclose(edges(np.zeros(1)), [-0.5, 0.5])
