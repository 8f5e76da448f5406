"""Complete runs of other kinds of skies and models than config/test.yaml."""

import json

import numpy as np
import pytest
import xarray as xr
import yaml

FLAT = {
    "box": {"half_widths_kpc": [1.0, 1.0]},
    "mock": {
        "truth": {"kind": "fourier", "order": [4, 4], "std": 0.8},
        "stars": {"number": 1500},
    },
    "fits": {
        "fourier": {"orders": [[2, 2], [3, 3]], "form": "amplitude_phase", "warm_start": False}
    },
    "map": {"cells": [20, 20]},
}
STRUCTURED = {
    "mock": {
        "truth": {
            "kind": "structured",
            "turbulence": {"order": [4, 4, 2]},
            "clouds": {"number": 3},
            "filaments": {"number": 2},
            "cavity": {},
        },
        "stars": {
            "number": 2000,
            "placement": {"kind": "disc"},
            "magnitude_limit_mag": 14.0,
            "classes": [
                {"name": "A", "fraction": 0.5, "zero_point_mag": 0.05},
                {"name": "F", "fraction": 0.5},
            ],
        },
        "extinction": {"outlier_fraction": 0.02, "understatement": 1.3},
    },
    "prior": {"std": 1.0, "mean": {"kind": "vertical", "knots_kpc": [0.0, 0.1, 0.2]}},
    "likelihood": {
        "kind": "student_t",
        "floor_mag": {"median": 0.02},
        "substructure_kpc": {"median": 0.01},
        "zero_point_std_mag": 0.02,
    },
    "heldout": {"fraction": 0.2, "by": "healpix", "nside": 4},
}


@pytest.mark.slow
@pytest.mark.parametrize("changes", [FLAT, STRUCTURED], ids=["flat", "structured"])
def test_a_run_of_another_kind_ends_with_all_products(tmp_path, repository, complete_run, changes):
    config = yaml.safe_load((repository / "config" / "test.yaml").read_text())
    path = tmp_path / "variant.yaml"
    path.write_text(yaml.safe_dump(config | changes))
    run = complete_run(tmp_path / "run", path)
    results, parsed = run.results, run.config
    for fit in parsed.fit_names():
        opened = xr.open_zarr(results / "maps" / f"{fit}.zarr")
        assert opened["density"].shape == (*parsed.map.cells, 1)[:3]
        assert np.isfinite(opened["ln_density"]).all()
        scores = json.loads((results / "scores" / f"{fit}.json").read_text())
        assert np.isfinite(scores["recovery"]["correlation"])
