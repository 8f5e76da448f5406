import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from docutils.core import publish_string
from jinja2 import StrictUndefined, Template
from PIL import Image
from tests.plots.products import make_history, make_map, make_scores, make_stars

from dust3d.config.base import Box
from dust3d.config.catalogues import Crossmatch, Selection
from dust3d.config.model import Prior
from dust3d.config.output import Plots
from dust3d.errors import ProductError
from dust3d.fields.fourier import AmplitudePhaseField, FourierField
from dust3d.fields.mean import ConstantMean
from dust3d.fields.modes import fourier_modes
from dust3d.fields.sum import SumField
from dust3d.io.fields import save_field
from dust3d.io.history import write_history
from dust3d.io.maps import write_map
from dust3d.io.tables import write_table
from dust3d.stages.figures import comparison_figures, fit_animation, fit_figures, star_figures
from dust3d.stages.figures.fits import fourier_part

NAMES = ["fourier-4x4x2", "mlp-64x64"]
RECORD = {"seed": 3, "source": "abc"}


def settings(**plots):
    sections = {
        "plots": Plots(dpi=40, slices_kpc=(0.0, 0.1), **plots),
        "box": Box(half_widths_kpc=(1.0, 1.0, 0.2)),
        "prior": Prior(),
        "selection": Selection(),
        "crossmatch": Crossmatch(),
    }
    return {name: section.model_dump(mode="json") for name, section in sections.items()}


def fourier_field():
    modes = fourier_modes((4, 4, 2), True)
    cos, sin = np.random.default_rng(5).normal(size=(2, len(modes)))
    return FourierField((4, 4, 2), (1.0, 1.0, 0.2), cos, sin, True)


@pytest.fixture
def products(tmp_path):
    """Every product that figures read, as the other stages write them."""
    history, stars = make_history(), make_stars()
    paths = {
        name: tmp_path / name
        for name in (
            "map.zarr",
            "truth.zarr",
            "field.h5",
            "history.h5",
            "scores.json",
            "predicted.h5",
            "fit.json",
            "crossmatch.json",
            "matched.h5",
        )
    }
    write_map(paths["map.zarr"], make_map(wave=0.6))
    write_map(paths["truth.zarr"], make_map())
    field = SumField((ConstantMean(np.array(-0.7)), fourier_field()))
    save_field(paths["field.h5"], field, {"name": NAMES[0]})
    columns = ("epoch", "step", "seconds", "loss", "train_score", "heldout_score")
    snapshots = {key: history[f"snapshots/{key}"] for key in ("epoch", "x", "y", "ln_density")}
    write_history(
        paths["history.h5"], list(zip(*(history[c] for c in columns), strict=True)), snapshots, {}
    )
    paths["scores.json"].write_text(json.dumps(make_scores(NAMES[0], 4)))
    paths["fit.json"].write_text(json.dumps({"parameters": 10, "stars": 400}))
    n = len(stars.l_deg)
    table = QTable(
        {
            "source_id": np.arange(n),
            "l": stars.l_deg * u.deg,
            "b": stars.b_deg * u.deg,
            "distance": stars.distance_kpc * u.kpc,
            "class": stars.classes.astype("U4"),
            "extinction": stars.observed_mag * u.mag,
            "extinction_error": np.full(n, 0.1) * u.mag,
            "predicted": stars.predicted_mag * u.mag,
            "sigma": stars.sigma_mag * u.mag,
            "heldout": stars.heldout,
        }
    )
    write_table(paths["predicted.h5"], table)
    separation = np.linspace(0.001, 0.9, n)
    write_table(
        paths["matched.h5"],
        QTable(
            {
                "source_id": np.arange(n),
                "separation": separation * u.arcsec,
                "ambiguous": np.arange(n) % 10 == 0,
            }
        ),
    )
    edges = np.concatenate([[0.0], np.geomspace(1e-3, 1.0, 20)])
    paths["crossmatch.json"].write_text(
        json.dumps(
            {
                "n_pairs": n,
                "n_ambiguous": n // 10,
                "chance": {"pairs": [3, 5], "rate": 1e-4},
                "known": {"n": 100, "completeness": 0.998, "purity": 0.999},
                "separation_histogram": {
                    "edges_arcsec": edges.tolist(),
                    "counts": np.histogram(separation, edges)[0].tolist(),
                },
            }
        )
    )
    return paths


def fit_inputs(products, *, mock=True):
    keys = {
        "map": "map.zarr",
        "field": "field.h5",
        "history": "history.h5",
        "scores": "scores.json",
        "predicted": "predicted.h5",
        "fit_json": "fit.json",
    }
    inputs = {key: products[name] for key, name in keys.items()}
    return inputs | ({"truth_map": products["truth.zarr"]} if mock else {})


FIT_KINDS = ["slices", "columns", "spectrum", "modes", "residuals", "history", "sky"]


@pytest.mark.parametrize("mock", [True, False], ids=["mock", "real"])
def test_all_figures_of_a_fit(products, tmp_path, mock):
    if not mock:
        products["scores.json"].write_text(json.dumps(make_scores(NAMES[0], 4, mock=False)))
    outputs = {kind: tmp_path / "figures" / f"{kind}.png" for kind in FIT_KINDS}
    fit_figures(
        name=NAMES[0],
        outputs=outputs,
        settings=settings(),
        **RECORD,
        **fit_inputs(products, mock=mock),
    )
    for kind, path in outputs.items():
        with Image.open(path) as picture:
            assert min(picture.size) > 100
            assert picture.info["Title"] == f"{NAMES[0]}: {kind}"
            origin = json.loads(picture.info["Description"])
        assert origin["seed"] == 3
        assert origin["source_digest"] == "abc"
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{kind}.png" for kind in FIT_KINDS
    }


def test_figures_need_only_what_they_draw(products, tmp_path):
    fit_figures(
        name=NAMES[0],
        outputs={"modes": tmp_path / "modes.png"},
        field=products["field.h5"],
        settings=settings(),
        **RECORD,
    )
    assert (tmp_path / "modes.png").is_file()
    with pytest.raises(ProductError, match="no `map` was given"):
        fit_figures(
            name=NAMES[0], outputs={"sky": tmp_path / "sky.png"}, settings=settings(), **RECORD
        )


def test_comparison(products, tmp_path):
    kinds = ["slices", "columns", "spectra", "orders"]
    outputs = {kind: tmp_path / f"compare-{kind}.png" for kind in kinds}
    comparison_figures(
        names=NAMES,
        maps=[products["map.zarr"]] * 2,
        scores=[products["scores.json"]] * 2,
        truth_map=products["truth.zarr"],
        outputs=outputs,
        settings=settings(),
        **RECORD,
    )
    assert all(path.is_file() for path in outputs.values())


def test_stars(products, tmp_path):
    outputs = {kind: tmp_path / f"{kind}.png" for kind in ("crossmatch", "stars")}
    star_figures(
        crossmatch=products["crossmatch.json"],
        matched=products["matched.h5"],
        train=products["predicted.h5"],
        heldout=products["predicted.h5"],
        outputs=outputs,
        settings=settings(),
        **RECORD,
    )
    assert all(path.is_file() for path in outputs.values())


def test_film(products, tmp_path):
    path = tmp_path / "training.gif"
    fit_animation(
        name=NAMES[0],
        history=products["history.h5"],
        truth_map=products["truth.zarr"],
        output=path,
        settings=settings(),
        **RECORD,
    )
    with Image.open(path) as film:
        assert film.n_frames == 3
        assert json.loads(film.info["comment"])["source_digest"] == "abc"


def test_film_without_snapshots(products, tmp_path):
    with h5py.File(products["history.h5"], "a") as file:
        del file["snapshots"]
    with pytest.raises(ProductError, match=r"holds no snapshots .* optimiser.snapshots above 0"):
        fit_animation(
            name=NAMES[0],
            history=products["history.h5"],
            output=tmp_path / "a.gif",
            settings=settings(),
            **RECORD,
        )
    assert not (tmp_path / "a.gif").exists()


def draw(products, tmp_path, *kinds):
    outputs = {kind: tmp_path / f"{kind}.png" for kind in kinds}
    fit_figures(
        name=NAMES[0], outputs=outputs, settings=settings(), **RECORD, **fit_inputs(products)
    )


def _other_version(paths):
    path = paths["map.zarr"] / "zarr.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 99'))


def _other_grid(paths):
    write_map(paths["truth.zarr"], make_map(cells=(10, 12, 6)))


def _text_as_history(paths):
    paths["history.h5"].write_text("not HDF5")


def _scores_cut_off(paths):
    paths["scores.json"].write_text('{"name": "four')


def _scores_without_shells(paths):
    scores = make_scores(NAMES[0], 4)
    del scores["recovery"]["shells"]["r"]
    paths["scores.json"].write_text(json.dumps(scores))


def _no_map(paths):
    paths["map.zarr"].rename(paths["map.zarr"].with_name("elsewhere"))


def _network(paths):
    save_field(paths["field.h5"], ConstantMean(np.array(-0.7)), {})


@pytest.mark.parametrize(
    ("plant", "kind", "message"),
    [
        (_other_version, "slices", r"map.zarr: format version 99"),
        (_other_grid, "columns", r"truth.zarr and .*map.zarr: the two maps are on different grids"),
        (_text_as_history, "history", r"history.h5"),
        (_scores_cut_off, "spectrum", r"scores.json: damaged or not JSON"),
        (_scores_without_shells, "spectrum", r"scores.json: lacks the key `recovery.shells.r`"),
        (_no_map, "sky", r"map.zarr: no such map"),
        (_network, "modes", r"field.h5: the field has no Fourier part"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_wrong_products_are_refused(products, tmp_path, plant, kind, message):
    plant(products)
    with pytest.raises(ProductError, match=message):
        draw(products, tmp_path, kind)
    assert not (tmp_path / f"{kind}.png").exists()


def test_unknown_figures_are_refused(products, tmp_path):
    with pytest.raises(ProductError, match=r"no figure is called slice; there are slices, "):
        draw(products, tmp_path, "slice")


def test_the_fourier_part_is_found_in_any_form():
    field = fourier_field()
    polar = AmplitudePhaseField.from_cos_sin(field)
    for whole in (field, polar, SumField((ConstantMean(np.array(0.0)), polar))):
        np.testing.assert_allclose(fourier_part(whole).cos, field.cos, atol=1e-12)
    assert fourier_part(ConstantMean(np.array(0.0))) is None


def test_no_figure_uses_pyplot(repository):
    for path in (repository / "src" / "dust3d" / "plots").glob("*.py"):
        assert "matplotlib.pyplot" not in path.read_text()


@pytest.mark.parametrize("mock", [True, False])
def test_captions_are_valid(repository, mock):
    snakemake = SimpleNamespace(
        input=SimpleNamespace(truth_map="truth/map.zarr" if mock else []),
        wildcards=SimpleNamespace(fit=NAMES[0]),
        config={"run": "demo"},
    )
    captions = sorted((repository / "workflow" / "report").glob("*.rst"))
    kinds = {path.stem for path in captions}
    assert {f"fit-{kind}" for kind in [*FIT_KINDS, "training"]} <= kinds
    for path in captions:
        text = Template(path.read_text(), undefined=StrictUndefined).render(snakemake=snakemake)
        publish_string(text, writer="null", settings_overrides={"halt_level": 2})
