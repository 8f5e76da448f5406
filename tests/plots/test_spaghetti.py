"""Samples along rays, and the transforms of held-out stars."""

import numpy as np
import pytest
from tests.plots.helpers import labels, outside, overlaps
from tests.plots.products import make_calibration, make_ray

from dust3d.plots.pit import coverage_curve, covered, pit_figure
from dust3d.plots.spaghetti import band, spaghetti_figure

NAME = "fourier-10x10x2"


def lines(ax, label):
    return [found for found in ax.lines if found.get_label() == label]


def filled(ax, label):
    """Lower and upper edge of an area between two lines."""
    (area,) = [found for found in ax.collections if found.get_label() == label]
    vertices = area.get_paths()[0].vertices
    return vertices[:, 1].min(), vertices[:, 1].max()


def test_a_ray_shows_its_samples_mean_band_prior_and_truth():
    ray = make_ray()
    ax = spaghetti_figure(NAME, [ray], within_kpc=0.05).axes[0]
    (mean,) = lines(ax, "mean")
    np.testing.assert_allclose(mean.get_ydata(), np.exp(ray.samples.mean(axis=0)))
    assert len(lines(ax, "sample")) == 12
    np.testing.assert_allclose(lines(ax, "sample")[3].get_ydata(), np.exp(ray.samples[3]))
    np.testing.assert_allclose(lines(ax, "truth")[0].get_ydata(), np.exp(ray.truth))
    low, high = np.exp(band(ray.samples))
    np.testing.assert_allclose(filled(ax, "band"), (low.min(), high.max()))
    np.testing.assert_allclose(filled(ax, "prior"), np.exp([-1.5, 0.1]))
    below, above = lines(ax, "total")
    total = np.sqrt(ray.samples.var(axis=0, ddof=1) + 0.04)
    np.testing.assert_allclose(np.log(above.get_ydata() / below.get_ydata()), 2 * total)
    assert lines(ax, "mark")[0].get_xdata()[0] == 0.14
    np.testing.assert_array_equal(lines(ax, "stars")[0].get_xdata(), [0.1, 0.2, 0.5])


def test_a_band_holds_what_it_says():
    """The i-th of n values is the i / (n + 1) quantile, so that 16 of 24 lie between these."""
    values = np.arange(1.0, 25.0)[:, None]
    low, high = band(values)
    np.testing.assert_allclose([low[0], high[0]], [0.16 * 25, 0.84 * 25])


def test_too_few_samples_have_no_band():
    # five samples support percentiles from 16.7 on
    assert band(np.zeros((5, 3))) is None
    assert band(np.zeros((6, 3))) is not None
    ax = spaghetti_figure(NAME, [make_ray(samples=make_ray().samples[:5])], within_kpc=0.1).axes[0]
    assert "band" not in [area.get_label() for area in ax.collections]


@pytest.mark.parametrize("number", [1, 2, 4, 5, 15])
@pytest.mark.parametrize("known", [True, False], ids=["mock", "real"])
def test_rays_can_be_read(number, known):
    ray = make_ray() if known else make_ray(truth=None, mark_kpc=None, beyond=0.0)
    figure = spaghetti_figure(NAME, [ray] * number, within_kpc=0.05)
    assert overlaps(figure) == []
    assert outside(figure) == []
    assert "[kpc]" in labels(figure)
    assert "[mag / kpc]" in labels(figure)
    drawn = [ax for ax in figure.axes if ax.lines]
    assert len(drawn) == number
    texts = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert "stars within 50 pc of the ray" in texts
    assert ("truth" in texts) is known


def test_all_rays_share_their_densities():
    far = make_ray(samples=make_ray().samples + 2.0)
    figure = spaghetti_figure(NAME, [make_ray(), far], within_kpc=0.05)
    first, second = figure.axes[:2]
    assert first.get_ylim() == second.get_ylim()
    assert second.get_ylim()[1] > np.exp(far.samples).max()


def test_coverage_of_a_histogram():
    histogram = np.array([0.1, 0.2, 0.4, 0.3])
    nominal, found = coverage_curve(histogram)
    np.testing.assert_allclose(nominal, [0, 0.5, 1])
    np.testing.assert_allclose(found, [0, 0.6, 1])


@pytest.mark.parametrize("mock", [True, False])
def test_transforms_and_coverage_are_shown(mock):
    calibration = make_calibration(mock=mock)
    figure = pit_figure(NAME, calibration)
    assert overlaps(figure) == []
    assert outside(figure) == []
    assert len(figure.axes) == (3 if mock else 2)
    histogram, curve = figure.axes[:2]
    steps = histogram.patches[-1].get_data()
    np.testing.assert_allclose(steps.values, 20 * np.array(calibration["pit"]["histogram"]))
    (line,) = lines(curve, "held-out stars")
    np.testing.assert_allclose(line.get_xdata()[5], 0.5)
    np.testing.assert_allclose(line.get_ydata()[5], 10 * 0.055)
    points = [container.lines[0].get_ydata()[0] for container in curve.containers]
    np.testing.assert_allclose(points, [0.72, 0.955])
    if mock:
        rows = covered(calibration["coverage"])
        assert len(rows) == 6
        places = [container.lines[0].get_xdata()[0] for container in figure.axes[2].containers]
        np.testing.assert_allclose(places[:3], [72, 70, 61])
        np.testing.assert_allclose(places[3:6], 66)


def test_bands_are_those_of_independent_stars():
    """The bins of a histogram of n stars in 20 bins scatter by sqrt(19 / n) of their mean."""
    calibration = make_calibration(mock=False)
    shaded = pit_figure(NAME, calibration).axes[0].patches[0]
    assert shaded.get_height() == pytest.approx(2 * 1.96 * np.sqrt(19 / 400))


def test_what_no_star_told_of_has_no_row():
    calibration = make_calibration()
    calibration["coverage"]["ln_density"]["informed"] = {
        "n": 0,
        "68": {"share": None, "standard_error": None},
        "95": {"share": None, "standard_error": None},
    }
    assert len(covered(calibration["coverage"])) == 5
    one_pixel = calibration["pit"] | {"n_effective": None, "p": None}
    figure = pit_figure(NAME, calibration | {"pit": one_pixel})
    assert overlaps(figure) == []
