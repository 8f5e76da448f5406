"""Figures of uncertainties from products, and what is drawn along rays."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from PIL import Image
from tests.plots.products import make_calibration, make_map, make_scores, make_uncertain_map

from dust3d.config.base import Box
from dust3d.config.catalogues import Selection
from dust3d.config.model import Prior
from dust3d.config.output import Plots
from dust3d.errors import ProductError
from dust3d.fields.fourier import FourierField
from dust3d.fields.mean import ConstantMean
from dust3d.fields.modes import fourier_modes
from dust3d.fields.sum import SumField
from dust3d.io.fields import save_field
from dust3d.io.maps import write_map
from dust3d.io.samples import PriorVariance, Samples, save_samples
from dust3d.io.tables import write_table
from dust3d.plots.planes import Mark
from dust3d.stages.figures import posterior, posterior_figures

NAME = "fourier-4x4x2"
KINDS = ["uncertainty", "spaghetti", "pit", "sky_std"]
MARKS = (
    {"name": "Taurus", "l_deg": 171.0, "b_deg": -15.0, "distance_kpc": 0.14},
    {"name": "Far", "l_deg": 30.0, "b_deg": 0.0},
)


def settings(ndim=3, reach=None, marks=MARKS):
    sections = {
        "plots": Plots(dpi=40, slices_kpc=(0.1, 0.0), marks=marks),
        "box": Box(half_widths_kpc=(1.0, 1.0, 0.2)[:ndim]),
        "prior": Prior(),
        "selection": Selection(max_distance_kpc=reach),
    }
    return {name: section.model_dump(mode="json") for name, section in sections.items()}


def field(seed, ndim=3):
    order = (4, 4, 2)[:ndim]
    cos, sin = 0.1 * np.random.default_rng(seed).normal(size=(2, len(fourier_modes(order, True))))
    series = FourierField(order, (1.0, 1.0, 0.2)[:ndim], cos, sin, True)
    return SumField((series, ConstantMean(np.array(-0.7))))


@pytest.fixture(params=[3, 2], ids=["3-D", "2-D"])
def products(request, tmp_path):
    """Keywords of the stage but `outputs`, with a file behind each path."""
    ndim, generator = request.param, np.random.default_rng(8)
    names = ("field", "samples", "map", "scores", "predicted", "truth_field", "truth_map")
    paths = {name: tmp_path / name for name in names}
    cells = (12, 12, 6) if ndim == 3 else (12, 12, 1)
    save_field(paths["field"], field(0, ndim), {"name": NAME})
    save_field(paths["truth_field"], field(1, ndim), {"name": "truth"})
    prior = PriorVariance(np.array([-0.2, 0.2]), np.full(2, 2.0), 0.05)
    fields = [field(seed, ndim) for seed in range(2, 26)]
    nuisance = {"error_inflation": np.ones(24)}
    save_samples(paths["samples"], Samples(fields, nuisance, (), prior, {"missed": np.zeros(24)}))
    write_map(paths["map"], make_uncertain_map(cells=cells))
    write_map(paths["truth_map"], make_map(cells=cells, wave=0.6))
    scores = make_scores(NAME, 4) | {"calibration": make_calibration()}
    paths["scores"].write_text(json.dumps(scores))
    stars = {
        "l": generator.uniform(0, 360, 300) * u.deg,
        "b": generator.uniform(-20, 20, 300) * (ndim == 3) * u.deg,
        "distance": generator.uniform(0.05, 0.5, 300) * u.kpc,
        "heldout": np.arange(300) % 10 == 0,
    }
    write_table(paths["predicted"], QTable(stars))
    return {"name": NAME, **paths, "settings": settings(ndim), "seed": 3, "source": "abc"}


@pytest.mark.parametrize("mock", [True, False], ids=["mock", "real"])
def test_all_figures_of_a_posterior(products, tmp_path, mock):
    if not mock:
        products |= {"truth_field": None, "truth_map": None}
    outputs = {kind: tmp_path / f"{kind}.png" for kind in KINDS}
    posterior_figures(outputs=outputs, **products)
    for kind, path in outputs.items():
        with Image.open(path) as picture:
            assert min(picture.size) > 80
            assert picture.info["Title"] == f"{NAME}: {kind}"
            origin = json.loads(picture.info["Description"])
        assert (origin["seed"], origin["source_digest"]) == (3, "abc")


def test_a_map_that_was_made_without_the_samples_is_refused(products, tmp_path):
    products["map"] = tmp_path / "plain.zarr"
    write_map(products["map"], make_map())
    with pytest.raises(ProductError, match=r"plain.zarr: was made without the samples in "):
        posterior_figures(outputs={"uncertainty": tmp_path / "a.png"}, **products)
    assert not (tmp_path / "a.png").exists()


def test_scores_that_were_made_without_the_samples_are_refused(products, tmp_path):
    products["scores"].write_text(json.dumps(make_scores(NAME, 4)))
    with pytest.raises(ProductError, match=r"lacks the key `calibration.pit.histogram`"):
        posterior_figures(outputs={"pit": tmp_path / "a.png"}, **products)


def test_a_ray_is_what_the_fields_say_there(products, tmp_path, monkeypatch):
    drawn = []
    real = posterior.spaghetti_figure
    monkeypatch.setattr(
        posterior,
        "spaghetti_figure",
        lambda name, rays, **rest: drawn.append((rays, rest)) or real(name, rays, **rest),
    )
    posterior_figures(outputs={"spaghetti": tmp_path / "a.png"}, **products)
    (rays, rest), ndim = drawn[0], len(products["settings"]["box"]["half_widths_kpc"])
    # in the plane there are no directions off it
    assert [ray.name for ray in rays] == (["Taurus", "Far"] if ndim == 3 else ["Far"])
    ray = rays[-1]
    assert ray.distances_kpc[-1] == pytest.approx(1 / np.cos(np.deg2rad(30)))
    place = jnp.asarray(ray.distances_kpc[100] * np.array([np.cos(np.pi / 6), 0.5, 0.0])[:ndim])
    np.testing.assert_allclose(ray.samples[5, 100], field(7, ndim)(place), atol=1e-8)
    np.testing.assert_allclose(ray.truth[100], field(1, ndim)(place), atol=1e-8)
    assert ray.samples.shape == (24, ray.distances_kpc.size)
    np.testing.assert_allclose(ray.prior_std, np.sqrt(2.0))
    assert ray.prior_mean == pytest.approx(np.log(Prior().mean.density_mag_per_kpc))
    # a quarter of the shortest wavelength
    assert rest["within_kpc"] == pytest.approx(0.05 if ndim == 3 else 0.125)


def test_rays_end_at_the_box_or_little_beyond_the_stars():
    up, along = np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])
    assert posterior.ray_length(up, settings()) == pytest.approx(0.2)
    assert posterior.ray_length(along, settings()) == pytest.approx(1.0)
    assert posterior.ray_length(along, settings(reach=0.5)) == pytest.approx(0.55)


def test_stars_near_a_ray():
    stars = np.array([[0.3, 0.04, 0.0], [0.4, 0.0, 0.06], [-0.3, 0.0, 0.0], [0.2, 0.03, 0.03]])
    near = posterior.stars_near(stars, np.array([1.0, 0.0, 0.0]), 0.05)
    np.testing.assert_allclose(near, [0.3, 0.2])


def test_without_marks_rays_go_to_four_places_in_the_plane():
    assert [mark.l_deg for mark in posterior.named_directions([], 3)] == [0.0, 90.0, 180.0, 270.0]
    known = [Mark("Taurus", 171.0, -15.0)]
    assert posterior.named_directions(known, 3) == known
    assert len(posterior.named_directions(known, 2)) == 4
