"""Newton steps of the stage that fits: kept as they come, gone on with, and told about."""

import logging
from contextlib import contextmanager

import numpy as np
import pytest
from tests.stages.test_fit import CHECKPOINTS, Killed, assert_same, run, summary, table

from dust3d.inference import newton
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


@contextmanager
def killed_after(steps, monkeypatch):
    climb, done = newton._climb, []

    def killed(*arguments):
        if len(done) == steps:
            raise Killed
        done.append(climb(*arguments))
        return done[-1]

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(newton, "_climb", killed)
        yield


def test_a_fit_killed_between_steps_goes_on_from_the_last(tables, tmp_path, monkeypatch, caplog):
    whole = climbing(tmp_path / "whole", tables)
    assert summary(whole)["converged"]
    with killed_after(2, monkeypatch):
        climbing(tmp_path / "killed", tables)
    assert sorted(p.name for p in (tmp_path / "killed").iterdir()) == CHECKPOINTS
    with caplog.at_level(logging.INFO, "dust3d"):
        found = summary(climbing(tmp_path / "killed", tables))
    assert "resumed after Newton step 2" in caplog.text
    expected = summary(whole)
    for key in ("newton", "log_posterior", "converged", "parameters"):
        assert found[key] == expected[key]
    for key in ("gradients", "products"):
        assert found["cost"][key] == expected["cost"][key]
    assert_same(tmp_path / "killed", whole)
    history = read_history(tmp_path / "killed" / "history.h5")
    assert np.all(np.diff(history["seconds"]) >= 0)
    assert found["optimiser_seconds"] < found["seconds"]


@pytest.mark.parametrize("method", ["dense", "iterative"])
def test_all_steps_count_towards_the_most(method, tables, tmp_path, monkeypatch):
    options = {"method": method, "tolerance": 1e-9, "exact": True, "max_steps": 4}
    whole = summary(climbing(tmp_path / "whole", tables, **options))
    assert sum(step["length"] > 0 for step in whole["newton"]) == 4
    with killed_after(3, monkeypatch):
        climbing(tmp_path / "killed", tables, **options)
    assert summary(climbing(tmp_path / "killed", tables, **options))["newton"] == whole["newton"]
    assert_same(tmp_path / "killed", tmp_path / "whole")


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
