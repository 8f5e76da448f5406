"""Stars with uncertain distances, on skies of seconds: they help, where they are averaged over."""

import importlib.util
import sys

import numpy as np
import pytest


@pytest.fixture
def distances(repository, monkeypatch):
    path = repository / "benchmarks" / "distances.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_distances", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_averages_over_distances_help_and_do_not_bias(distances):
    # one star in five has a good distance
    skies = [distances.compare(seed, 750, 3, 5, "gaussian", 0.1, 5) for seed in (1, 2)]
    rms, bias, extinction = (
        {name: np.mean([sky[name][key] for sky in skies], axis=0) for name in skies[0]}
        for key in ("rms", "bias", "extinction_bias_mag")
    )
    good, median, averaged = skies[0]
    assert rms[averaged] < 0.75 * rms[good]
    assert rms[averaged] < 0.75 * rms[median]
    assert abs(bias[averaged]) < 0.02
    # median distances bias the far extinctions
    assert np.abs(extinction[median]).max() > 0.025
    assert np.abs(extinction[averaged]).max() < 0.015
