"""The stage that samples posteriors: parts, what they are of, and what comes out of them."""

import json
import logging

import astropy.units as u
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from astropy.coordinates import SkyCoord
from tests.stages.test_fit import fit_settings, run, table

import dust3d
from dust3d.errors import Dust3dError, FitError, ProductError
from dust3d.io.fields import load_field
from dust3d.io.samples import load_samples
from dust3d.stages import maps, posterior
from dust3d.stages.fit_start import fourier_part

OPTIMISER = {"newton": {"max_steps": 12, "exact": False}}
POSTERIOR = {"samples": 24, "per_job": 16}
SETTINGS = {"box": {"half_widths_kpc": [1.0, 1.0]}, "map": {"cells": [16, 16]}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished fit with its stars, two parts of samples and all of them."""
    folder = tmp_path_factory.mktemp("posterior")
    stars = {n: table(folder / f"{n}.h5", *number, 2) for n, number in NUMBERS.items()}
    run(folder, {2: stars}, optimiser=OPTIMISER)
    for part in (0, 1):
        draw(folder, folder / f"samples-{part}.h5", part)
    parts = [folder / f"samples-{part}.h5" for part in (0, 1)]
    posterior.collect(fit=folder / "field.h5", parts=parts, output=folder / "samples.h5")
    return folder


NUMBERS = {"train": (250, 1), "heldout": (40, 2)}


def draw(folder, output, part=0, fit="field.h5", **options):
    posterior.sample(
        fit=folder / fit,
        train=folder / "train.h5",
        heldout=folder / "heldout.h5",
        output=output,
        settings=fit_settings(optimiser=OPTIMISER),
        posterior=POSTERIOR | options,
        part=part,
        seed=1,
        source="digest",
    )


def read(path):
    return load_samples(path, load_field(path.with_name("field.h5"))[0])


def test_all_samples_are_those_of_the_parts_in_their_order(folder):
    whole = read(folder / "samples.h5")
    assert len(whole) == 24
    parts = [read(folder / f"samples-{part}.h5") for part in (0, 1)]
    assert [len(part) for part in parts] == [16, 8]
    fields = [field for part in parts for field in part.fields]
    for a, b in zip(whole.fields, fields, strict=True):
        np.testing.assert_array_equal(a.parts[0].cos, b.parts[0].cos)
    assert np.all(whole.solutions["missed"] < 1e-3)
    assert whole.likelihood["error_inflation"].shape == (24,)
    assert np.all(whole.likelihood["error_inflation"] > 0)
    provenance = whole.attrs["provenance"]
    assert {"config_digest", "source_digest", "versions", "seed", "device"} <= set(provenance)


def test_a_sample_is_the_same_whatever_part_it_is_in(folder, tmp_path):
    draw(folder, tmp_path / "some.h5", 2, per_job=4)
    whole = read(folder / "samples.h5")
    some = load_samples(tmp_path / "some.h5", load_field(folder / "field.h5")[0])
    assert len(some) == 4
    for a, b in zip(whole.fields[8:12], some.fields, strict=True):
        np.testing.assert_allclose(a.parts[0].cos, b.parts[0].cos, atol=1e-5)


def test_samples_scatter_about_the_maximum_and_nothing_stays_behind(folder):
    series, _ = fourier_part(folder / "field.h5")
    samples = np.stack([field.parts[0].cos for field in read(folder / "samples.h5").fields])
    # 24 samples: their mean within five of its errors
    error = samples.std(axis=0, ddof=1) / np.sqrt(24)
    assert np.all(np.abs(samples.mean(axis=0) - series.cos) < 5 * error + 0.02)
    assert not list(folder.glob("*.scratch")) + list(folder.glob("*claim*"))


def test_queries_have_uncertainties(folder):
    found = dust3d.open_map(folder)
    assert found.attrs["estimator"] == "mean of 24 samples of the posterior"
    coords = SkyCoord(
        l=[[0, 120], [200, 300]] * u.deg, b=0 * u.deg, distance=0.5 * u.kpc, frame="galactic"
    )
    for quantity, unit in (("extinction", u.mag), ("density", u.mag / u.kpc)):
        samples = found.query(coords, quantity=quantity, mode="samples")
        assert samples.shape == (2, 2, 24)
        assert samples.unit == unit
        expected = {
            "mean": samples.mean(axis=-1),
            "std": samples.std(axis=-1, ddof=1),
            "median": np.median(samples, axis=-1),
        }
        for mode, values in expected.items():
            np.testing.assert_allclose(
                found.query(coords, quantity=quantity, mode=mode), values, rtol=1e-6, atol=1e-9
            )
        one = found.query(coords, quantity=quantity, mode="random_sample", seed=3)
        assert np.any(np.all(np.isclose(samples, one[..., None], rtol=1e-9), axis=(0, 1)))
        pair = found.query(coords, quantity=quantity, mode="percentile", pct=[16, 84])
        assert pair.shape == (2, 2, 2)
        single = found.query(coords, quantity=quantity, mode="percentile", pct=84)
        np.testing.assert_array_equal(pair[..., 1], single)
        below = np.mean(samples < single[..., None], axis=-1)
        assert np.all(np.abs(below - 0.84) <= 0.05)


@pytest.mark.parametrize("pct", [3.9, 96.1, [50, 99], -1, 200, np.nan])
def test_percentiles_beyond_the_samples_are_refused(folder, pct):
    place = SkyCoord(l=0 * u.deg, b=0 * u.deg, distance=0.5 * u.kpc, frame="galactic")
    with pytest.raises(Dust3dError, match=r"24 samples support percentiles from 4 to 96"):
        dust3d.open_map(folder).query(place, mode="percentile", pct=pct)


@pytest.mark.parametrize("options", [{"mode": "percentile"}, {"mode": "median", "pct": 50}])
def test_a_percentile_and_its_mode_go_together(folder, options):
    place = SkyCoord(l=0 * u.deg, b=0 * u.deg, distance=0.5 * u.kpc, frame="galactic")
    with pytest.raises(Dust3dError, match="`pct` goes with mode='percentile'"):
        dust3d.open_map(folder).query(place, **options)


def test_without_samples_the_maximum_answers(folder):
    place = SkyCoord(l=40 * u.deg, b=0 * u.deg, distance=0.5 * u.kpc, frame="galactic")
    found = dust3d.open_map(folder, samples=False)
    assert "maximum" in found.attrs["estimator"]
    field, _ = load_field(folder / "field.h5")
    position = 0.5 * jnp.asarray([np.cos(np.radians(40)), np.sin(np.radians(40))])
    np.testing.assert_allclose(found.density(place).value, np.exp(field(position)), rtol=1e-5)
    with pytest.raises(Dust3dError, match="needs a posterior, and this map has none"):
        found.query(place, mode="std")


def test_samples_around_another_fit_are_left_aside(folder, tmp_path, caplog):
    (tmp_path / "samples.h5").write_bytes((folder / "samples.h5").read_bytes())
    stars = {n: folder / f"{n}.h5" for n in NUMBERS}
    run(tmp_path, {2: stars}, optimiser={"newton": {"max_steps": 11, "exact": False}}, seed=2)
    with caplog.at_level(logging.WARNING, "dust3d"):
        found = dust3d.open_map(tmp_path)
    assert "samples around another fit than field.h5, not used" in caplog.text
    assert found.number_of_samples == 0


def test_maps_are_means_over_samples_with_their_spread(folder, tmp_path):
    common = {"settings": SETTINGS, "seed": 1, "source": "digest"}
    for name, samples in (("with", folder / "samples.h5"), ("without", None)):
        maps.fit_map(
            fit=folder / "field.h5",
            train=folder / "train.h5",
            samples=samples,
            output=tmp_path / f"{name}.zarr",
            **common,
        )
    found, plain = (xr.open_zarr(tmp_path / f"{name}.zarr").load() for name in ("with", "without"))
    assert found.attrs["estimator"] == "mean of 24 samples of the posterior"
    assert "density_std" not in plain
    centres = found["x"].values
    mesh = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1).reshape(-1, 2)
    samples = read(folder / "samples.h5")
    ln = np.stack([field.at(jnp.asarray(mesh)) for field in samples.fields]).reshape(-1, 16, 16)
    close = {"rtol": 2e-4, "atol": 1e-5}
    resolved = ln.std(axis=0, ddof=1)
    np.testing.assert_allclose(found["ln_density"][..., 0], ln.mean(axis=0), **close)
    np.testing.assert_allclose(found["density"][..., 0], np.exp(ln).mean(axis=0), **close)
    np.testing.assert_allclose(
        found["density_std"][..., 0], np.exp(ln).std(axis=0, ddof=1), **close
    )
    np.testing.assert_allclose(found["ln_density_std_resolved"][..., 0], resolved, **close)
    total = np.sqrt(resolved**2 + samples.prior.beyond)
    np.testing.assert_allclose(found["ln_density_std"][..., 0], total, **close)
    info = 1 - resolved**2 / samples.prior.resolved[0]
    np.testing.assert_allclose(found["info"][..., 0], info, **close)
    # where stars are the data know more than the prior
    assert float(found["info"].sel(x=0.3, y=0.3, method="nearest").min()) > 0.5
    gridded = dust3d.open_map(tmp_path / "with.zarr")
    place = SkyCoord(l=20 * u.deg, b=0 * u.deg, distance=0.6 * u.kpc, frame="galactic")
    exact = dust3d.open_map(folder)
    for mode in ("mean", "std"):
        ratio = gridded.query(place, mode=mode) / exact.query(place, mode=mode)
        assert ratio.to_value("") == pytest.approx(1, abs=0.05)
    with pytest.raises(Dust3dError, match=r"a map's grid has none; open the fit's folder"):
        gridded.query(place, mode="median")


def test_a_sample_that_misses_the_tolerance_leaves_nothing(folder, tmp_path):
    with pytest.raises(FitError, match=r"after 1 products.*still misses by"):
        draw(folder, tmp_path / "none.h5", max_products=1, tolerance=1e-6)
    assert not list(tmp_path.iterdir())


def test_a_sample_that_stays_off_its_noise_leaves_nothing(folder, tmp_path):
    with pytest.raises(FitError, match=r"sample 0 still misses its noise by .*curvature_steps"):
        draw(folder, tmp_path / "none.h5", curvature_steps=1, largest_miss=1e-9, centre_rounds=0)
    assert not list(tmp_path.iterdir())


def test_a_fit_that_is_not_at_its_maximum_is_told_of(folder, tmp_path, caplog):
    for name in ("field.h5", "fit.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    summary = json.loads((tmp_path / "fit.json").read_text())
    del summary["sha256"]
    (tmp_path / "fit.json").write_text(json.dumps(summary | {"converged": False}))
    with caplog.at_level(logging.WARNING, "dust3d"):
        draw(folder, tmp_path / "samples-0.h5", fit=tmp_path / "field.h5", per_job=1)
    assert "the fit is not at its maximum (converged: False)" in caplog.text


def test_parts_of_another_fit_are_refused(folder, tmp_path):
    other = run(tmp_path, {2: {n: folder / f"{n}.h5" for n in NUMBERS}}, name="mlp-6")
    with pytest.raises(ProductError, match="not the field of a Fourier fit"):
        posterior.collect(
            fit=other / "field.h5", parts=[folder / "samples-0.h5"], output=tmp_path / "s.h5"
        )
