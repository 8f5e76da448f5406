"""Newton steps of the stage that fits: kept as they come, gone on with, and told about."""

import logging

import jax.numpy as jnp
import numpy as np
import pytest
from tests.stages.test_fit import Killed, run, summary, table

from dust3d.inference import newton
from dust3d.io.fields import load_field
from dust3d.io.history import read_history

ITERATIVE = {"method": "iterative", "tolerance": 1e-4, "exact": False}
ADAM = {"kind": "adam", "epochs": 2, "batch": 100}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Train and held-out stars in two dimensions."""
    folder = tmp_path_factory.mktemp("stars")
    names = {"train": 200, "heldout": 40}
    return {2: {n: table(folder / f"{n}.h5", k, i, 2) for i, (n, k) in enumerate(names.items())}}


def climbing(folder, tables, **newton):
    return run(folder, tables, optimiser={"method": ADAM, "newton": ITERATIVE | newton})


def test_a_fit_killed_between_steps_goes_on_from_the_last(tables, tmp_path, monkeypatch, caplog):
    whole = climbing(tmp_path / "whole", tables)
    assert summary(whole)["converged"]
    climb, done = newton._climb, []

    def killed(*arguments):
        if len(done) == 2:
            raise Killed
        done.append(climb(*arguments))
        return done[-1]

    with monkeypatch.context() as patch:
        patch.setattr(newton, "_climb", killed)
        with pytest.raises(Killed):
            climbing(tmp_path / "killed", tables)
    assert [p.name for p in (tmp_path / "killed").iterdir()] == ["checkpoint.h5"]
    with caplog.at_level(logging.INFO, "dust3d"):
        found = summary(climbing(tmp_path / "killed", tables))
    assert "resumed at epoch 2 of phase 1" in caplog.text
    expected = summary(whole)
    assert found["converged"]
    first = [step["log_posterior"] for step in expected["newton"]]
    # the third step of the whole fit is the first that is left
    assert found["newton"][0]["log_posterior"] == pytest.approx(first[2], abs=1e-3)
    assert len(found["newton"]) < len(first)
    assert found["log_posterior"] == pytest.approx(expected["log_posterior"], abs=0.02)
    places = jnp.asarray(np.random.default_rng(0).uniform(-0.8, 0.8, (50, 2)))
    folders = (whole, tmp_path / "killed")
    fields = [load_field(folder / "field.h5")[0].at(places) for folder in folders]
    np.testing.assert_allclose(fields[1], fields[0], atol=0.02)
    history = read_history(tmp_path / "killed" / "history.h5")
    np.testing.assert_array_equal(history["epoch"], np.arange(1, len(history["epoch"]) + 1))
    assert np.all(np.diff(history["seconds"]) >= 0)


def test_too_few_steps_are_said_to_be_too_few(tables, tmp_path, caplog):
    found = summary(climbing(tmp_path, tables, max_steps=1))
    assert found["converged"] is False
    assert [step["length"] > 0 for step in found["newton"]] == [True, False]
    assert found["newton"][1]["predicted_gain"] > 1e-4 * 200
    assert "not converged" in caplog.text
    assert "raise optimiser.newton.max_steps" in caplog.text
    assert found["newton"][1]["log_posterior"] > found["newton"][0]["log_posterior"]
    # two directions of each product count
    products = sum(step["products"] for step in found["newton"])
    assert products > 10
    assert found["cost"]["products"] == 2 * 2 + 2 * 2 + 2 * products
