"""The rows of `make bench` at a size that takes seconds: their keys, and errors that are right."""

import importlib.util
import json
import math
import sys

import pytest

KEYS = {"method", "order", "stars", "us_per_star", "value_error", "gradient_error"}


@pytest.fixture
def rays(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    spec = importlib.util.spec_from_file_location(
        "benchmark_of_rays", repository / "benchmarks" / "rays.py"
    )
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_every_method_makes_a_row(rays):
    methods = [m for m in rays.METHODS if m != "finufft" or importlib.util.find_spec("finufft")]
    experiment = rays.Experiment((3, 3, 1), 64, 128)
    made = rays.cases(experiment, methods)
    rays.take_turns(made, 2, 10.0)
    rows = json.loads(json.dumps(rays.rows(experiment, made)))
    assert [(row["method"], row["stars"]) for row in rows if row["method"] == "production"] == [
        ("production", 64),
        ("production", 128),
    ]
    assert {row["method"] for row in rows} == set(methods)
    for row in rows:
        assert set(row) >= KEYS
        assert row["order"] == [3, 3, 1]
        assert row["us_per_star"] > 0
        most = (0.5, 0.05) if row["method"] == "production" else (0.01, 1e-4)
        assert row["value_error"] <= most[0], row["method"]
        assert row["gradient_error"] <= most[1], row["method"]
        assert math.isfinite(row["us_per_star_median"])


def test_limits_that_are_missed_are_named(rays):
    good = {
        "exact": {"us_per_star": 7.0, "gradient_error": 1e-6, "value_error": 1e-3},
        "finufft": {"us_per_star": 5.5, "gradient_error": None, "value_error": None},
        "production": {"us_per_star": 0.3, "value_error": 0.4, "over_touched": 1.5},
    }
    rows = [{"method": name, "order": [40, 40, 8]} | row for name, row in good.items()]
    assert rays.missed(rows) == []
    rows[0]["us_per_star"], rows[2]["over_touched"] = 9.0, float("nan")
    assert [sentence.split(" is ")[0] for sentence in rays.missed(rows)] == [
        "40x40x8: exact over FINUFFT",
        "40x40x8: production over a copy of what it touches",
    ]
