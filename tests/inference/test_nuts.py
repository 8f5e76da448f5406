"""Samples of the posterior against NUTS, which makes no approximation, on small fits."""

import importlib.util
import sys

import numpy as np
import pytest

# in standard deviations by NUTS, beyond three Monte Carlo errors
STD, SHIFT = 0.10, 0.20
MOST_ERROR = 0.06


@pytest.fixture(scope="module")
def bench(repository):
    spec = importlib.util.spec_from_file_location(
        "benchmark_of_nuts", repository / "benchmarks" / "nuts.py"
    )
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        yield module


def misses(rows):
    """What is spread by more or less than allowed, or lies too far away."""
    return [
        row["name"]
        for row in rows
        if abs(row["std_ratio"] - 1) > STD + 3 * row["std_ratio_error"]
        or abs(row["shift"]) > SHIFT + 3 * row["shift_error"]
    ]


def off(rows):
    """Typical distance of the means."""
    return np.sqrt(np.mean([row["shift"] ** 2 for row in rows]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("likelihood", "order", "stars"), [("gaussian", (3, 3, 1), 200), ("full", (2, 2, 1), 400)]
)
def test_samples_about_the_centre_have_the_spread_and_the_place_that_nuts_finds(
    bench, likelihood, order, stars
):
    fit = bench.small_fit(order, stars, likelihood=bench.LIKELIHOODS[likelihood], nodes=12)
    found = bench.against_nuts(
        fit, chains=2, warmup=300, draws=1000, number=500, steps=6, pairs=16, rounds=3
    )
    assert found["worst_rhat"] < 1.02
    assert found["divergent"] < 0.01
    assert max(row["std_ratio_error"] for row in found["centred"]) < MOST_ERROR
    assert misses(found["centred"]) == []
    # the mean over all quantities is known better than any one
    assert 0.95 < np.mean([row["std_ratio"] for row in found["centred"]]) < 1.05
    assert off(found["centred"]) < off(found["curved"])
    if likelihood == "gaussian":
        # about the maximum the field has taken up noise: the check sees it
        assert "ln error_inflation" in misses(found["curved"])
