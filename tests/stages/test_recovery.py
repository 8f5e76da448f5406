"""Known skies through the whole chain: mock, cross-match, stars, fit, map, scores."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dust3d.config import run as config
from dust3d.io.fields import load_field
from dust3d.io.maps import read_map
from dust3d.stages import fit, maps, mock, posterior, scores, stars

FAST = {
    "method": {"kind": "adam", "epochs": 25, "batch": 512},
    "newton": {"max_steps": 1},
    "snapshots": 0,
}
FLAT = {
    "run": "flat",
    "seed": 5,
    "box": {"half_widths_kpc": [1.0, 1.0]},
    "mock": {
        "truth": {"kind": "fourier", "order": [6, 6], "std": 1.0},
        "stars": {"number": 2500},
        "extinction": {"noise_mag": 0.02, "integrator": "exact"},
    },
    "fits": {"fourier": {"orders": [[4, 4]]}},
    "likelihood": {"kind": "student_t", "substructure_kpc": {"median": 0.01}},
    "prior": {"std": 1.0, "mean": {"kind": "constant", "density_mag_per_kpc": 1.0}},
    "optimiser": FAST,
    "map": {"cells": [30, 30]},
    "scores": {"shells": 6},
}
STRUCTURED = {
    "run": "structured",
    "seed": 2,
    "box": {"half_widths_kpc": [0.6, 0.6, 0.4]},
    "mock": {
        "truth": {
            "kind": "structured",
            "disc": {"scale_height_kpc": 0.15},
            "clouds": {"number": 1, "peak_ratio": [30.0, 31.0], "radius_kpc": [0.08, 0.081]},
            "cavity": {"radius_kpc": 0.15, "shell_thickness_kpc": 0.04, "shell_ratio": 2.0},
        },
        "stars": {"number": 2500},
        "extinction": {"noise_mag": 0.02, "integrator": "exact"},
    },
    "fits": {"fourier": {"orders": [[3, 3, 2]]}},
    "prior": {"std": 1.5, "mean": {"kind": "constant", "density_mag_per_kpc": 0.5}},
    "optimiser": FAST,
    "map": {"cells": [20, 20, 12]},
    "scores": {"shells": 5},
}
EMPTY = {
    "run": "empty",
    "seed": 4,
    "box": {"half_widths_kpc": [0.5, 0.5, 0.5]},
    "mock": {
        "truth": {"kind": "uniform", "density_mag_per_kpc": 1e-6},
        "stars": {"number": 2000},
        "extinction": {"noise_mag": 0.05, "integrator": "exact"},
    },
    "fits": {"fourier": {"orders": [[2, 2, 2]]}},
    "optimiser": FAST,
    "map": {"cells": [10, 10, 10]},
    "scores": {"shells": 4},
}

# the truth is one that the prior may draw: the posterior has to hold it
KNOWN = FLAT | {
    "run": "known",
    "mock": {
        "truth": {"kind": "fourier", "order": [4, 4], "std": 1.0},
        "stars": {"number": 1500},
        "extinction": {"noise_mag": 0.05, "integrator": "exact"},
        "astrometry": {"parallax_error_mas": 1e-3},
    },
    "selection": {"parallax_zero_point_mas": -0.03},
    "likelihood": {"kind": "gaussian"},
    "optimiser": FAST | {"newton": {"max_steps": 12}},
    "posterior": {"samples": 31},
}


def chain(content: dict, folder: Path) -> Path:
    """Run every stage of a small configuration."""
    run = config.parse(content)
    common = {"seed": run.seed, "source": "digest"}
    tables, truth = folder / "stars", folder / "truth"
    catalogues = {
        "astrometry": tables / "astrometry.h5",
        "extinction": tables / "extinction.h5",
        "truth_stars": truth / "stars.h5",
    }
    mock.make(
        **catalogues,
        truth_field=truth / "field.h5",
        settings=run.settings("box", "mock"),
        **common,
    )
    stars.crossmatch(
        **catalogues,
        matched=tables / "matched.h5",
        report=folder / "scores/crossmatch.json",
        settings=run.settings("crossmatch"),
        **common,
    )
    selected = {"train": tables / "train.h5", "heldout": tables / "heldout.h5"}
    stars.select(
        matched=tables / "matched.h5",
        **selected,
        report=folder / "scores/stars.json",
        settings=run.settings("box", "crossmatch", "selection", "heldout"),
        **common,
    )
    gridding = run.settings("box", "map")
    maps.truth_map(
        field=truth / "field.h5", output=folder / "truth/map.zarr", settings=gridding, **common
    )
    for name in run.fit_names():
        product = folder / "fits" / name
        start = run.start_of(name)
        fit.run(
            name=name,
            **selected,
            start=folder / "fits" / start / "field.h5" if start else None,
            folder=product,
            settings=run.fit_settings(name),
            **common,
        )
        samples = sample(run, name, product, selected) if name in run.sampled_fits() else None
        maps.fit_map(
            fit=product / "field.h5",
            train=selected["train"],
            samples=samples,
            output=folder / "maps" / f"{name}.zarr",
            settings=gridding,
            **common,
        )
        scores.score(
            fit_field=product / "field.h5",
            fit_json=product / "fit.json",
            map=folder / "maps" / f"{name}.zarr",
            samples=samples,
            truth_field=truth / "field.h5",
            truth_map=folder / "truth/map.zarr",
            **selected,
            output=folder / "scores" / f"{name}.json",
            predicted=product / "predicted.h5",
            settings=run.settings("box", "likelihood", "scores"),
            **common,
        )
    return folder


def sample(run: config.Config, name: str, product: Path, selected: dict[str, Path]) -> Path:
    """Samples of a fit's posterior."""
    parts = []
    for part in run.sample_parts():
        parts.append(product / f"samples-{part}.h5")
        posterior.sample(
            fit=product / "field.h5",
            **selected,
            output=parts[-1],
            settings=run.fit_settings(name),
            posterior=run.settings("posterior")["posterior"],
            part=part,
            seed=run.seed,
            source="digest",
        )
    posterior.collect(fit=product / "field.h5", parts=parts, output=product / "samples.h5")
    return product / "samples.h5"


def read(path: Path) -> dict:
    """A JSON file in which NaN and infinities, which are not JSON, are refused."""

    def refuse(constant: str):
        raise AssertionError(f"{path}: {constant}")

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    return chain(FLAT, tmp_path_factory.mktemp("flat"))


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return chain(KNOWN, tmp_path_factory.mktemp("known"))


@pytest.fixture(scope="module")
def structured(tmp_path_factory):
    return chain(STRUCTURED, tmp_path_factory.mktemp("structured"))


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return chain(EMPTY, tmp_path_factory.mktemp("empty"))


def test_a_flat_fourier_truth_is_recovered_close_to_its_ceiling(flat):
    found = read(flat / "scores/fourier-4x4.json")
    recovery, heldout = found["recovery"], found["heldout"]
    assert recovery["correlation"] > 0.85
    assert recovery["correlation_ceiling"] < 0.99
    assert recovery["correlation"] > recovery["correlation_ceiling"] - 0.08
    r, ceiling = (np.asarray(recovery["shells"][name]) for name in ("r", "r_ceiling"))
    assert np.all(r[:3] > ceiling[:3] - 0.05)
    assert heldout["baselines"]["slab"]["sigmas"] > 3
    assert heldout["correlation"] > 0.95
    # the fitted scatter, which knows of the modes beyond the order, describes the residuals
    assert heldout["width_fitted"] == pytest.approx(1, abs=0.4)


def test_a_flat_run_has_flat_products(flat):
    dataset = read_map(flat / "maps/fourier-4x4.zarr")
    assert dict(dataset.sizes) == {"x": 30, "y": 30, "z": 1}
    assert float(dataset["z"][0]) == 0
    field, _ = load_field(flat / "fits/fourier-4x4/field.h5")
    x, y = (jnp.asarray(dataset[name].values) for name in ("x", "y"))
    np.testing.assert_allclose(
        dataset["ln_density"].values[..., 0], field.on_grid((x, y)), rtol=1e-6, atol=1e-6
    )


@pytest.mark.slow
def test_a_truth_that_the_prior_may_draw_is_inside_of_its_intervals(known):
    found = read(known / "scores/fourier-4x4.json")
    assert found["converged"] is True
    calibration = found["calibration"]
    assert calibration["samples"] == 31
    assert calibration["pit"]["p"] > 0.001
    covered = calibration["coverage"]
    # 56 numbers are uncertain: as many independent values, at best, say how often
    for entry in (
        covered["extinction"],
        covered["column"],
        covered["ln_density"]["all"],
        covered["ln_density"]["informed"],
        covered["smoothed_density"]["informed"],
    ):
        assert entry["68"]["share"] == pytest.approx(0.68, abs=0.25)
        assert entry["95"]["share"] > 0.8
    heldout = covered["heldout"]["68"]
    assert heldout["share"] == pytest.approx(0.68, abs=4 * heldout["standard_error"])
    ratio = found["recovery"]["smoothed_density"]["informed"]
    assert 0.8 < ratio["p16"] < ratio["median"] < ratio["p84"] < 1.25
    fingers = found["fingers_of_god"]
    away = fingers["truth"] - fingers["samples"]["mean"]
    assert abs(away) < 4 * fingers["samples"]["std"]


def test_a_truth_outside_the_basis_is_recovered_better_than_by_a_slab(structured):
    found = read(structured / "scores/fourier-3x3x2.json")
    slab = found["heldout"]["baselines"]["slab"]
    assert slab["difference"] > 0.5
    assert slab["sigmas"] > 2
    assert found["heldout"]["rms_mag"] < 0.5 * slab["rms_mag"]
    assert found["recovery"]["correlation"] > 0.7
    # the cloud stands where it is
    peaks = []
    for path in ("truth/map.zarr", "maps/fourier-3x3x2.zarr"):
        dataset = read_map(structured / path)
        smooth = gaussian_filter(dataset["density"].values, 1.5)
        cell = np.unravel_index(smooth.argmax(), smooth.shape)
        peaks.append([float(dataset[name][i]) for name, i in zip("xyz", cell, strict=True)])
    assert np.linalg.norm(np.subtract(*peaks)) < 0.15


def test_a_sky_without_dust_gives_none(empty):
    found = read(empty / "scores/fourier-2x2x2.json")
    bubble = found["local_bubble"]
    assert bubble["distances_kpc"][1] == 0.1
    assert max(bubble["true_sky_median_mag"]) < 1e-6
    assert max(bubble["sky_median_mag"]) < 0.02
    dataset = read_map(empty / "maps/fourier-2x2x2.zarr")
    distance = np.sqrt(dataset["x"] ** 2 + dataset["y"] ** 2 + dataset["z"] ** 2)
    assert float(dataset["extinction"].where(distance < 0.1).max()) < 0.02
    # a truth without structure cannot be resolved, nor correlated with
    assert found["recovery"]["resolution_kpc"] is None
    assert found["recovery"]["correlation"] == 0
