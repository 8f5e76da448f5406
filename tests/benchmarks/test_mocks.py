"""The table of the mock suite: what its rows hold, and that the committed one is of these skies."""

import csv
import importlib.util
import json

import jax.numpy as jnp
import numpy as np
import pytest

from dust3d.config.run import load
from dust3d.fields.mean import ConstantMean
from dust3d.io.fields import save_field


@pytest.fixture
def mocks(repository):
    path = repository / "benchmarks" / "mocks.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_mocks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def finished_run(results, config, density, digest):
    """A run with one scored fit; its truth and its fit have the same density everywhere."""
    fit = config.fourier_fits()[0]
    field = ConstantMean(jnp.asarray(np.log(density)))
    attrs = {"half_widths_kpc": config.box.half_widths_kpc, "digest": digest}
    for folder in ("truth", f"fits/{fit}"):
        path = results / config.run / folder / "field.h5"
        path.parent.mkdir(parents=True)
        save_field(path, field, attrs)
    share = {"68": {"share": 0.671234, "standard_error": 0.01}, "95": {"share": 0.94}}
    scores = {
        "order": [6, 6, 6],
        "heldout": {"n": 99, "log_predictive_density": {"mean": 0.5, "standard_error": 0.02}},
        "calibration": {"coverage": {"heldout": share, "smoothed_density": {"informed": share}}},
        "converged": True,
    }
    (results / config.run / "scores").mkdir()
    (results / config.run / f"scores/{fit}.json").write_text(json.dumps(scores))


def test_a_row_has_the_scores_the_digest_and_the_dust_over_the_sky(mocks, tmp_path):
    config = load(mocks.CONFIGS / "bubble.yaml")
    finished_run(tmp_path, config, 0.7, "ab" * 8)
    (row,) = mocks.rows_of("bubble", config, tmp_path)
    assert set(row) <= set(mocks.COLUMNS)
    expected = {"mock": "bubble", "fit": "fourier-6x6x6", "order": "6x6x6", "n_heldout": "99"}
    expected |= {"heldout_68": "0.6712", "heldout_68_se": "0.01", "heldout_95": "0.94"}
    expected |= {"smoothed_density_68": "0.6712", "ln_density_68": "", "converged": "True"}
    expected |= {"truth_digest": "ab" * 8}
    assert row | expected == row
    for prefix in ("", "true_"):
        for what in ("median", "p95"):
            assert float(row[f"{prefix}sky_{what}_100pc"]) == pytest.approx(0.07, rel=1e-3)
            assert float(row[f"{prefix}sky_{what}_300pc"]) == pytest.approx(0.21, rel=1e-3)


def test_rows_of_other_runs_stay_and_the_suite_has_an_order(mocks, tmp_path):
    table = tmp_path / "mocks.csv"
    mocks.write(table, [{"mock": "twin", "fit": "a"}, {"mock": "open", "fit": "b"}])
    new = {"twin": [{"mock": "twin", "fit": "c"}], "empty": []}
    rows = mocks.merged(table, new)
    assert [(row["mock"], row["fit"]) for row in rows] == [("open", "b"), ("twin", "c")]
    assert rows[0]["heldout_68"] == ""


def test_the_committed_table_is_of_the_truths_that_the_configurations_state(mocks):
    with mocks.TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert list(rows[0]) == list(mocks.COLUMNS)
    for row in rows:
        config = load(mocks.CONFIGS / f"{row['mock']}.yaml")
        stated = config.mock.truth_digest if config.mock is not None else ""
        assert (row["truth_digest"], row["seed"]) == (stated, str(config.seed))
        assert row["fit"] in config.fourier_fits()
