"""The stage that fits: every form, resuming to the bit, warm starts, bad endings."""

import json
import logging
import os
import shutil

import astropy.units as u
import h5py
import jax.numpy as jnp
import numpy as np
import pytest
from astropy.table import QTable

from dust3d import determinism, runtime
from dust3d.config import run as config
from dust3d.errors import FitError, ProductError
from dust3d.fields.fourier import AmplitudePhaseField, FourierField
from dust3d.fields.mean import VerticalMean
from dust3d.fields.mlp import MLPField
from dust3d.inference import loop
from dust3d.io.fields import load_field
from dust3d.io.history import read_history
from dust3d.io.tables import write_table
from dust3d.stages import fit
from dust3d.stages.fit_changes import changes

NAMES = ("field.h5", "fit.json", "history.h5", "checkpoint.h5")
CHECKPOINTS = ["checkpoint.h5", "checkpoint.previous.h5"]
ADAM = {"kind": "adam", "epochs": 6, "batch": 64}
STAGE = {
    "drops": 2,
    "log10_weight": [-2.0, -3.0],
    "gamma": [3.6, 1.8],
    "learning_rate": [1e-3, 1e-4],
}
ORIGINAL = {
    "kind": "original",
    "batch": 64,
    "stages": [{"order": [1, 1], "epochs": 4} | STAGE, {"order": [2, 2], "epochs": 3} | STAGE],
}


def table(path, number, seed, ndim):
    """Stars behind a density of 1 + 0.5 cos(3 x) mag / kpc."""
    generator = np.random.default_rng(seed)
    xyz = np.zeros((number, 3))
    xyz[:, :ndim] = generator.uniform(-0.8, 0.8, (number, ndim))
    distance = np.linalg.norm(xyz, axis=1)
    column = 1 + 0.5 * np.sinc(3 * xyz[:, 0] / np.pi)
    stars = QTable(
        {
            "source_id": np.arange(number),
            "extinction_id": np.arange(number),
            "l": np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0])) % 360 * u.deg,
            "b": np.degrees(np.arcsin(xyz[:, 2] / distance)) * u.deg,
            "distance": distance * u.kpc,
            "extinction": (distance * column + generator.normal(0, 0.05, number)) * u.mag,
            "extinction_error": np.full(number, 0.05) * u.mag,
            "class": np.where(np.arange(number) % 2, "A", "F"),
        }
    )
    write_table(path, stars)
    return path


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Paths of train and held-out stars, in two and in three dimensions."""
    folder = tmp_path_factory.mktemp("stars")
    return {
        ndim: {
            "train": table(folder / f"train{ndim}.h5", 250, 1, ndim),
            "heldout": table(folder / f"heldout{ndim}.h5", 40, 2, ndim),
        }
        for ndim in (2, 3)
    }


def fit_settings(name="fourier-2x2", ndim=2, **sections):
    """Settings of one fit, as the workflow passes them."""
    order = [2] * ndim
    optimiser = {
        "method": ADAM,
        "mlp_method": ADAM | {"learning_rate": [0.01, 0.001]},
        "newton": {"max_steps": 0},
        "snapshots": 3,
        "checkpoint_every_s": 0,
    } | sections.pop("optimiser", {})
    fits = {"fourier": {"orders": [order]}, "mlp": {"layers": [[6]], "features": 6}}
    content = {
        "run": "small",
        "seed": 1,
        "box": {"half_widths_kpc": [1.0] * ndim},
        "mock": {"truth": {"kind": "fourier", "order": order}, "stars": {"number": 100}},
        "fits": fits | sections.pop("fits", {}),
        "rays": {"production": {"oversampling": 6, "max_error_sigma": 100}},
        "optimiser": optimiser,
        "map": {"cells": [8] * ndim},
    } | sections
    return config.parse(content).fit_settings(name)


def run(folder, tables, name="fourier-2x2", ndim=2, start=None, seed=1, **sections):
    settings = fit_settings(name, ndim, **sections)
    fit.run(
        name=name,
        **tables[ndim],
        start=start,
        folder=folder,
        settings=settings,
        seed=seed,
        source="digest",
    )
    return folder


def summary(folder):
    return json.loads((folder / "fit.json").read_text())


def numbers(folder):
    """All that a fit should repeat to the bit: history without its clock, field."""
    history = read_history(folder / "history.h5")
    del history["seconds"]
    field, _ = load_field(folder / "field.h5")
    return (
        history
        | {"field": np.asarray(field.at(jnp.full((1, 2), 0.3)))}
        | {
            f"part{i}-{name}": np.asarray(value)
            for i, part in enumerate(field.parts)
            for name, value in vars(part).items()
            if hasattr(value, "dtype")
        }
    )


def assert_same(one, other):
    first, second = numbers(one), numbers(other)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


class Killed(BaseException):
    """In place of a signal."""


def kill_after(monkeypatch, epochs):
    """Stop fits once this many epochs have ended, after their checkpoint."""
    step, done = loop._epoch, []

    def epoch(method, state, *rest):
        if len(done) == epochs:
            raise Killed
        done.append(state.epoch)
        return step(method, state, *rest)

    monkeypatch.setattr(loop, "_epoch", epoch)


@pytest.fixture(scope="module")
def whole(tables, tmp_path_factory):
    """A fit that nothing interrupted."""
    return run(tmp_path_factory.mktemp("whole"), tables)


def test_a_killed_fit_goes_on_to_the_same_answer(whole, tables, tmp_path, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        kill_after(patch, 4)
        with pytest.raises(Killed):
            run(tmp_path, tables)
    assert sorted(p.name for p in tmp_path.iterdir()) == CHECKPOINTS
    with caplog.at_level(logging.INFO, "dust3d"):
        run(tmp_path, tables)
    assert "resumed at epoch 4" in caplog.text
    assert_same(tmp_path, whole)


@pytest.mark.slow
def test_a_killed_original_goes_on_in_its_second_stage(tables, tmp_path, monkeypatch, caplog):
    options = {"optimiser": {"method": ORIGINAL}}
    run(tmp_path / "whole", tables, **options)
    with monkeypatch.context() as patch:
        kill_after(patch, 5)
        with pytest.raises(Killed):
            run(tmp_path / "killed", tables, **options)
    with caplog.at_level(logging.INFO, "dust3d"):
        run(tmp_path / "killed", tables, **options)
    assert "resumed at epoch 1 of phase 2" in caplog.text
    assert_same(tmp_path / "killed", tmp_path / "whole")


def stopped(folder, tables, monkeypatch):
    """A folder with the checkpoint of a fit that was killed after two epochs."""
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(Killed):
            run(folder, tables)
    return folder / "checkpoint.h5"


def test_a_checkpoint_of_other_settings_is_not_used(whole, tables, tmp_path, monkeypatch, caplog):
    stopped(tmp_path / "other", tables, monkeypatch)
    with caplog.at_level(logging.INFO, "dust3d"):
        run(tmp_path / "other", tables, prior={"std": 0.7})
    assert "of other settings or stars (prior.std was 1.5 and is 0.7); starting anew" in caplog.text
    assert "resumed" not in caplog.text
    other = read_history(tmp_path / "other" / "history.h5")
    np.testing.assert_array_equal(other["epoch"], np.arange(1, 7))
    assert other["loss"][1] != read_history(whole / "history.h5")["loss"][1]


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_checkpoint_of_another_machine_is_told(
    deterministic, tables, tmp_path, monkeypatch, caplog
):
    """Going on mixes the numbers of two machines, which must not be where bits shall repeat."""
    # both are as before when this test is over
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    monkeypatch.setattr(determinism, "_on", False)
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        patch.setattr(runtime, "device_name", lambda: "another device")
        with pytest.raises(Killed):
            run(tmp_path, tables, deterministic=deterministic)
    with caplog.at_level(logging.INFO, "dust3d"):
        run(tmp_path, tables, deterministic=deterministic)
    assert "of other libraries or another device (device was another device and is" in caplog.text
    assert ("starting anew, as deterministic is true" in caplog.text) == deterministic
    assert ("resumed at epoch 2" in caplog.text) != deterministic


def test_changes_are_told_in_words():
    before = {"seed": 1, "source": "a", "settings": {"rays": {"method": "exact"}, "old": 1}}
    now = {"seed": 2, "source": "b", "settings": {"rays": {"method": "production"}, "new": 2}}
    assert changes(before, before) == ""
    assert changes(before, now) == (
        "the program, seed, new came, old went, rays.method was exact and is production"
    )
    many = {"settings": {f"key{i}": i for i in range(9)}}
    assert changes({}, many).endswith("key4 came, 4 more")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    """Another value in the middle of an array, which HDF5 does not notice."""
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        place = file["arrays/snapshots"].id.get_offset() + 100
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip])
def test_the_checkpoint_before_a_damaged_one_is_used(
    damage, whole, tables, tmp_path, monkeypatch, caplog
):
    path = stopped(tmp_path, tables, monkeypatch)
    damage(path)
    with caplog.at_level(logging.INFO, "dust3d"):
        run(tmp_path, tables)
    assert f"checkpoint not used: {path}" in caplog.text
    assert f"the one before it is used: {tmp_path / CHECKPOINTS[1]}" in caplog.text
    # saved after each of 4 steps of an epoch, and after each epoch
    assert "resumed at epoch 1, step 4 of phase 1" in caplog.text
    assert_same(tmp_path, whole)


def test_without_a_whole_checkpoint_a_fit_starts_anew_and_says_so(
    whole, tables, tmp_path, monkeypatch, caplog
):
    for path in (stopped(tmp_path, tables, monkeypatch), tmp_path / CHECKPOINTS[1]):
        cut(path)
    with caplog.at_level(logging.INFO, "dust3d"):
        run(tmp_path, tables)
    assert caplog.text.count("checkpoint not used") == 2
    assert "no checkpoint is whole; starting anew" in caplog.text
    assert "resumed" not in caplog.text
    assert_same(tmp_path, whole)


def test_a_fit_that_is_done_is_made_anew_when_asked(whole, tables, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (tmp_path / "field.h5").unlink()
    run(tmp_path, tables)
    assert_same(tmp_path, whole)


def test_products_say_what_they_are(whole):
    assert sorted(p.name for p in whole.iterdir()) == sorted(NAMES)
    found = summary(whole)
    assert found["name"] == "fourier-2x2"
    assert found["model"] == "fourier"
    assert found["order"] == [2, 2]
    assert found["stars"] == 250
    # 6 modes inside the ball, each with a cosine and a sine, and the mean
    assert found["parameters"] == 13
    assert found["rays"]["method"] == "production"
    assert 0 < found["rays"]["error_sigma_p99"] < 100
    assert set(found["likelihood"]["zero_points_mag"]) == {"A", "F"}
    assert found["likelihood"]["floor_mag"] == 0
    assert found["provenance"]["seed"] == 1
    history = read_history(whole / "history.h5")
    np.testing.assert_array_equal(history["epoch"], np.arange(1, 7))
    np.testing.assert_array_equal(np.isfinite(history["heldout_score"]), [0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(history["snapshots/epoch"], [0, 3, 6])
    assert history["snapshots/ln_density"].shape == (3, 64, 64)
    assert np.ptp(history["snapshots/ln_density"][0]) == 0
    assert history["loss"][-1] < history["loss"][0]
    field, attrs = load_field(whole / "field.h5")
    assert isinstance(field.parts[0], FourierField)
    assert attrs["name"] == "fourier-2x2"
    axes = [jnp.asarray(history[f"snapshots/{name}"]) for name in "xy"]
    last = history["snapshots/ln_density"][-1]
    np.testing.assert_allclose(last, field.on_grid(axes), atol=1e-4)


@pytest.mark.parametrize("rays", ["production", "exact"])
def test_a_streamed_fit_is_the_fit_in_memory(rays, tables, tmp_path):
    options = {"rays": {"method": rays, "production": {"oversampling": 6, "max_error_sigma": 100}}}
    for name in (True, False):
        run(tmp_path / str(name), tables, optimiser={"stream": name}, **options)
        assert summary(tmp_path / str(name))["cost"]["streamed"] is name
        # nothing of the scratch files is left
        assert sorted(p.name for p in (tmp_path / str(name)).iterdir()) == sorted(NAMES)
    one, two = numbers(tmp_path / "False"), numbers(tmp_path / "True")
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, rtol=1e-4, atol=1e-4, err_msg=name)


def test_a_fit_says_what_it_took_and_what_more_would_take(whole, caplog):
    cost = summary(whole)["cost"]
    assert cost["gradients"] == 6
    assert cost["products"] == 12
    assert cost["stars_per_s"] == pytest.approx(6 * 250 / summary(whole)["optimiser_seconds"])
    assert not cost["streamed"]
    assert 0.2 < cost["measured_memory_gb"] < cost["limit_memory_gb"]
    assert cost["predicted_memory_gb"] < cost["limit_memory_gb"]
    now = summary(whole)["optimiser_seconds"] + cost["setup_seconds"]
    assert cost["twice_the_stars"]["seconds"] == pytest.approx(2 * now, rel=1e-6)
    assert cost["twice_the_order"]["seconds"] > 2 * now
    for larger in ("twice_the_stars", "twice_the_order"):
        assert cost[larger]["memory_gb"] > 0.99 * cost["predicted_memory_gb"]


def test_a_fit_beyond_its_memory_is_refused_before_it_starts(tables, tmp_path):
    with pytest.raises(FitError, match=r"fourier-2x2: needs about .* GB .* than the 0.1 GB"):
        run(tmp_path, tables, optimiser={"memory_gb": 0.1})
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_not_finite_ends_the_fit_and_keeps_the_last_good_checkpoint(
    whole, tables, tmp_path, monkeypatch
):
    step, done = loop._epoch, []

    def spoilt(*arguments):
        loss, score = step(*arguments)
        done.append(loss)
        return (np.nan if len(done) == 4 else loss), score

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_epoch", spoilt)
        with pytest.raises(FitError, match=r"fourier-2x2: .*not finite in epoch 4 .*learning_rate"):
            run(tmp_path, tables)
    assert sorted(p.name for p in tmp_path.iterdir()) == CHECKPOINTS
    run(tmp_path, tables)
    assert_same(tmp_path, whole)


def test_a_learning_rate_beyond_reason_is_a_fit_error(tables, tmp_path):
    wild = {"method": ADAM | {"learning_rate": [1e6, 1e5]}}
    with pytest.raises(FitError, match="learning_rate"):
        run(tmp_path, tables, optimiser=wild)
    assert not (tmp_path / "field.h5").exists()


@pytest.mark.parametrize("form", ["cos_sin", "amplitude_phase"])
def test_a_warm_start_begins_where_the_lower_order_ended(form, whole, tables, tmp_path):
    options = {"fits": {"fourier": {"orders": [[1, 1], [2, 2]], "form": form}}}
    low = run(tmp_path / "low", tables, "fourier-1x1", **options) / "field.h5"
    warm = run(tmp_path / "warm", tables, start=low, **options)
    history = read_history(warm / "history.h5")
    # the flat field of the other fit's start is worse
    assert history["loss"][0] < read_history(whole / "history.h5")["loss"][0]
    field, _ = load_field(low)
    x = jnp.asarray(history["snapshots/x"])
    np.testing.assert_allclose(history["snapshots/ln_density"][0], field.on_grid((x, x)), atol=1e-4)
    kind = FourierField if form == "cos_sin" else AmplitudePhaseField
    assert isinstance(load_field(warm / "field.h5")[0].parts[0], kind)


def test_a_warm_start_from_something_else_says_so(tables, tmp_path):
    network = run(tmp_path / "net", tables, "mlp-6")
    with pytest.raises(ProductError, match="not the field of a Fourier fit"):
        run(tmp_path / "fit", tables, start=network / "field.h5")
    assert not (tmp_path / "fit" / "field.h5").exists()


def test_networks_are_fitted_on_exact_rays(tables, tmp_path):
    found = run(tmp_path, tables, "mlp-6")
    field, attrs = load_field(found / "field.h5")
    assert isinstance(field.parts[0], MLPField)
    assert field.parts[0].layers == (6,)
    assert attrs["model"] == "mlp"
    assert summary(found)["rays"]["method"] == "exact"
    loss = read_history(found / "history.h5")["loss"]
    assert loss[-1] < loss[0]


def test_exact_rays_lead_to_about_the_same_fit(whole, tables, tmp_path):
    found = run(tmp_path, tables, rays={"method": "exact"})
    assert summary(found)["rays"]["method"] == "exact"
    assert summary(found)["rays"]["error_sigma_p99"] < 0.1
    places = jnp.asarray(np.random.default_rng(0).uniform(-0.6, 0.6, (50, 2)))
    values = [load_field(f / "field.h5")[0].at(places) for f in (found, whole)]
    np.testing.assert_allclose(values[0], values[1], atol=0.15)


@pytest.mark.slow
def test_reference_rays_can_fit(tables, tmp_path):
    rays = {"method": "reference", "reference": {"rtol": 1e-5}}
    few = {"method": {"kind": "adam", "epochs": 2, "batch": 250}}
    found = run(tmp_path, tables, rays=rays, optimiser=few)
    assert summary(found)["rays"]["method"] == "reference"
    assert summary(found)["rays"]["error_sigma_p99"] < 0.1
    loss = read_history(found / "history.h5")["loss"]
    assert loss[1] < loss[0]


def test_coarse_rays_are_made_finer_until_they_are_exact_enough(tables, tmp_path):
    rays = {"production": {"oversampling": 1, "max_error_sigma": 0.5}}
    found = run(tmp_path, tables, rays=rays)
    assert summary(found)["rays"]["error_sigma_p99"] <= 0.5
    # further phases, of a quarter of the epochs
    assert len(read_history(found / "history.h5")["epoch"]) > 6


def test_a_vertical_mean_is_fitted_and_polished(tables, tmp_path):
    found = run(
        tmp_path,
        tables,
        "fourier-1x1x1",
        3,
        fits={"fourier": {"orders": [[1, 1, 1]]}},
        prior={"mean": {"kind": "vertical", "knots_kpc": [0, 0.2, 0.6]}},
        optimiser={"newton": {"max_steps": 12}},
    )
    field, _ = load_field(found / "field.h5")
    assert isinstance(field.parts[1], VerticalMean)
    content = summary(found)
    assert content["mean"]["knots_kpc"] == [0, 0.2, 0.6]
    values = [step["log_posterior"] for step in content["newton"]]
    assert len(values) > 1
    assert np.all(np.diff(values) > 0)
    assert content["log_posterior"] == values[-1]
    # another step would raise the log posterior by less than 0.1 % of the number of stars
    assert content["newton"][-1]["predicted_gain"] < 1e-3 * 250
