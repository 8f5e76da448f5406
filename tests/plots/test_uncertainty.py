"""Mean, spread and samples in the plane and over the sky."""

import numpy as np
import pytest
from tests.plots.helpers import images, labels, outside, overlaps
from tests.plots.products import make_map, make_uncertain_map

from dust3d.plots.planes import Mark
from dust3d.plots.sky import sky_extinction
from dust3d.plots.sky_spread import sky_spread_figure
from dust3d.plots.skymaps import middles, sky_cells
from dust3d.plots.uncertainty import nearest_layer, uncertainty_figure

NAME = "fourier-10x10x2"
MARKS = [Mark("Taurus", 171.0, -15.0, 0.14), Mark("Far", 30.0, 0.0)]
LAYER = 3


def titled(figure):
    """Values of each image by the title of its panel."""
    pairs = zip([ax for ax in figure.axes if ax.images], images(figure), strict=True)
    return {ax.get_title(): values for ax, values in pairs}


def sampled(grid, number=2):
    shape = (number, grid.sizes["x"], grid.sizes["y"])
    return np.random.default_rng(7).normal(size=shape)


@pytest.mark.parametrize("known", [True, False], ids=["mock", "real"])
def test_mean_spread_and_samples_of_one_layer_are_shown(known):
    fit, truth = make_uncertain_map(wave=0.6), make_map() if known else None
    samples = sampled(fit)
    shown = titled(uncertainty_figure(NAME, fit, samples, truth, height_kpc=0.01))
    mean = fit["ln_density"].values[:, :, LAYER]
    std = fit["ln_density_std_resolved"].values[:, :, LAYER]
    np.testing.assert_array_equal(next(v for t, v in shown.items() if "mean" in t), mean)
    np.testing.assert_array_equal(shown["a sample"], samples[0])
    np.testing.assert_array_equal(shown["another sample"], samples[1])
    np.testing.assert_array_equal(shown["standard deviation"], std)
    np.testing.assert_array_equal(shown["gained from the stars"], 1 - std**2)
    assert shown["stars"][3, 4] == fit.sizes["z"]
    assert shown["stars"].mask[0, 0]
    assert ("truth" in shown) is known
    assert ("deviation" in shown) is known
    if known:
        away = (mean - truth["ln_density"].values[:, :, LAYER]) / np.sqrt(std**2 + 0.04)
        np.testing.assert_allclose(shown["deviation"], away)
        np.testing.assert_array_equal(shown["truth"], truth["ln_density"].values[:, :, LAYER])


def test_the_layer_stays_the_same_where_the_map_is_cropped():
    fit = make_uncertain_map(cells=(12, 12, 12), half_widths=(1.0, 1.0, 1.0))
    layer = nearest_layer(fit, 0.3)
    shown = titled(uncertainty_figure(NAME, fit, sampled(fit), height_kpc=0.3, reach_kpc=0.5))
    whole = fit["info"].values[:, :, layer]
    np.testing.assert_array_equal(shown["gained from the stars"], whole[3:9, 3:9])
    assert shown["stars"][0, 0] == 12


@pytest.mark.parametrize("known", [True, False], ids=["mock", "real"])
@pytest.mark.parametrize("deep", [True, False], ids=["3-D", "2-D"])
def test_they_can_be_read(known, deep):
    cells = (12, 12, 6) if deep else (12, 12, 1)
    fit, truth = make_uncertain_map(cells=cells), make_map(cells=cells, wave=0.6) if known else None
    reach = None if known else 0.5
    figures = {
        "plane": uncertainty_figure(
            NAME, fit, sampled(fit), truth, marks=MARKS, reach_kpc=reach, used_kpc=(0.8, 0.8)
        ),
        "sky": sky_spread_figure(NAME, fit, truth, distances_kpc=[0.2, 0.5], marks=MARKS),
    }
    for kind, figure in figures.items():
        assert overlaps(figure) == [], kind
        assert outside(figure) == [], kind
    assert "[kpc]" in labels(figures["plane"])
    assert "std of $A_V$ [mag]" in labels(figures["sky"])


def test_a_map_without_any_spread_can_be_drawn():
    fit = make_uncertain_map(wave=0.0)
    fit["ln_density_std_resolved"] *= 0
    fit["n_stars"] *= 0
    figure = uncertainty_figure(NAME, fit.drop_vars("n_stars"), 0 * sampled(fit) + np.log(0.5))
    assert overlaps(figure) == []
    assert overlaps(uncertainty_figure(NAME, fit, sampled(fit))) == []


@pytest.mark.parametrize("known", [True, False], ids=["mock", "real"])
def test_the_sky_shows_mean_and_spread_of_extinction(known):
    fit, truth = make_uncertain_map(), make_map(density=0.4) if known else None
    figure = sky_spread_figure(NAME, fit, truth, distances_kpc=[0.2])
    meshes = [ax.collections[0].get_array() for ax in figure.axes if ax.name == "mollweide"]
    l_edges, b_edges = sky_cells(1.0)
    sky = np.meshgrid(middles(l_edges), middles(b_edges), indexing="ij")
    mean = sky_extinction(fit, *sky, 0.2)
    np.testing.assert_allclose(meshes[0].T, mean)
    np.testing.assert_allclose(meshes[1].T, 0.1 * mean)
    assert len(meshes) == 2 + known
    if known:
        # extinctions are 0.5 and 0.4 mag / kpc times the distance, and the error a tenth
        np.testing.assert_allclose(meshes[2], 2.0, rtol=1e-6)


def test_a_flat_sky_is_a_ring():
    fit = make_uncertain_map(cells=(12, 12, 1))
    figure = sky_spread_figure(NAME, fit, distances_kpc=[0.2, 0.5])
    mean, std = (
        ax.collections[0].get_array() for ax in figure.axes if "Galactic" in ax.get_xlabel()
    )
    np.testing.assert_allclose(std, 0.1 * mean)
