"""The stages of evidence and choice: two ways to one number, the maximum found first, warnings."""

import json
import logging

import numpy as np
import pytest
from tests.stages.test_fit import fit_settings, run, table

from dust3d.config.model import Likelihood
from dust3d.config.output import Scores
from dust3d.errors import ProductError
from dust3d.stages import evidence, orders

ADAM = {"kind": "adam", "epochs": 4, "batch": 100}
OPTIMISER = {"method": ADAM, "newton": {"tolerance": 1e-2, "max_steps": 8}}
ORDERS = {f"fourier-{m}x{m}": {"fourier": {"orders": [[m, m]]}} for m in (1, 2, 4)}
PRIOR = {"std": 1.0, "std_scale_kpc": 0.5}


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    """Fits of three orders to 300 stars in two dimensions, and where their stars are."""
    folder = tmp_path_factory.mktemp("run")
    numbers = {"train": 300, "heldout": 60}
    stars = {2: {n: table(folder / f"{n}.h5", k, k, 2) for n, k in numbers.items()}}
    for name, grid in ORDERS.items():
        place = folder / "fits" / name
        run(place, stars, name, fits=grid, prior=PRIOR, optimiser=OPTIMISER)
    return folder, stars[2]


def measure(fits, name, output, **section):
    folder, stars = fits
    evidence.measure(
        fit=folder / "fits" / name / "field.h5",
        **stars,
        output=output,
        settings=fit_settings(name, fits=ORDERS[name], prior=PRIOR, optimiser=OPTIMISER),
        evidence=section,
        seed=1,
        source="digest",
    )
    return json.loads(output.read_text())


def test_products_find_the_evidence_of_the_dense_metric(fits, tmp_path):
    dense = measure(fits, "fourier-4x4", tmp_path / "dense.json")
    assert dense["method"] == "cholesky"
    assert dense["standard_error"] == 0
    options = {"dense_parameters": 1, "block_parameters": 10, "probes": 24}
    found = measure(fits, "fourier-4x4", tmp_path / "products.json", **options)
    assert found["method"] == "lanczos"
    assert found["settled"]
    assert 0 < found["standard_error"] < 2
    assert abs(found["ln_evidence"] - dense["ln_evidence"]) < 4 * found["standard_error"] + 0.5
    assert found["log_posterior"] == pytest.approx(dense["log_posterior"], abs=0.1)
    for one in (dense, found):
        assert one["at_maximum"]
        assert one["gain_left"] < 0.05
        assert one["parameters"] == dense["parameters"] > 40


def test_evidence_does_not_depend_on_where_near_the_maximum_the_fit_ended(fits, tmp_path):
    """The fits stop within nats of it."""
    found = measure(fits, "fourier-2x2", tmp_path / "one.json")
    sharper = measure(fits, "fourier-2x2", tmp_path / "two.json", tolerance=1e-6, max_steps=40)
    assert found["ln_evidence"] == pytest.approx(sharper["ln_evidence"], abs=0.05)
    assert found["newton"][0]["predicted_gain"] > 0


def test_a_maximum_that_is_missed_is_told(fits, tmp_path, caplog):
    _, stars = fits
    name = "fourier-2x2"
    rough = run(
        tmp_path / name,
        {2: stars},
        name,
        fits=ORDERS[name],
        prior=PRIOR,
        optimiser=OPTIMISER | {"newton": {"max_steps": 0}},
    )
    with caplog.at_level(logging.WARNING, "dust3d"):
        evidence.measure(
            fit=rough / "field.h5",
            **stars,
            output=tmp_path / "rough.json",
            settings=fit_settings(name, fits=ORDERS[name], prior=PRIOR, optimiser=OPTIMISER),
            evidence={"max_steps": 1, "tolerance": 1e-9},
            seed=1,
            source="digest",
        )
    assert "the evidence has to find it first" in caplog.text
    assert "raise evidence.max_steps" in caplog.text
    assert json.loads((tmp_path / "rough.json").read_text())["at_maximum"] is False


@pytest.fixture(scope="module")
def measured(fits):
    folder, _ = fits
    paths = [folder / "fits" / name / "evidence.json" for name in ORDERS]
    for name, path in zip(ORDERS, paths, strict=True):
        measure(fits, name, path)
    return paths


def choice(fits, paths, output):
    folder, stars = fits
    orders.choice(
        fits=[folder / "fits" / name / "field.h5" for name in ORDERS],
        evidence=paths,
        samples=[],
        **stars,
        output=output,
        settings={
            "box": {"half_widths_kpc": [1.0, 1.0]},
            "likelihood": Likelihood().model_dump(mode="json"),
            "scores": Scores().model_dump(mode="json"),
        },
        seed=1,
        source="digest",
    )
    return json.loads(output.read_text())


def test_a_choice_names_its_winners_and_weighs_all_fits(fits, measured, tmp_path):
    found = choice(fits, measured, tmp_path / "orders.json")
    assert [row["name"] for row in found["fits"]] == list(ORDERS)
    values = [json.loads(path.read_text())["ln_evidence"] for path in measured]
    assert [row["ln_evidence"] for row in found["fits"]] == values
    assert found["evidence"]["winner"] == list(ORDERS)[int(np.argmax(values))]
    means = [row["heldout"]["mean"] for row in found["fits"]]
    assert found["heldout"]["best"] == list(ORDERS)[int(np.argmax(means))]
    assert found["heldout"]["stars"] == 60
    assert sum(found["average"]["weights"].values()) == pytest.approx(1)
    # the truth is one wave along x, of the box itself
    assert found["evidence"]["probabilities"]["fourier-4x4"] < 0.5


def test_evidence_of_another_fit_is_refused(fits, measured, tmp_path):
    path = tmp_path / "fourier-1x1" / "evidence.json"
    path.parent.mkdir()
    content = json.loads(measured[1].read_text())
    content.pop("sha256")
    path.write_text(json.dumps(content))
    with pytest.raises(ProductError, match="of another fit"):
        choice(fits, [path, *measured[1:]], tmp_path / "orders.json")
