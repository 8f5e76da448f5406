"""The stage that puts fields on the run's grid: flat runs, damaged fields."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from dust3d.errors import ProductError
from dust3d.fields.fourier import FourierField
from dust3d.fields.mean import ConstantMean
from dust3d.fields.modes import fourier_modes
from dust3d.fields.sum import SumField
from dust3d.io.fields import save_field
from dust3d.io.maps import read_map
from dust3d.rays.nodes import extinctions
from dust3d.stages import maps

SETTINGS = {"box": {"half_widths_kpc": (0.5, 0.4)}, "map": {"cells": (8, 6)}}


def flat_field():
    generator = np.random.default_rng(0)
    coefficients = 0.3 * generator.standard_normal((2, len(fourier_modes((2, 2)))))
    return SumField((FourierField((2, 2), (0.5, 0.4), *coefficients), ConstantMean(0.0)))


def truth_map(folder):
    maps.truth_map(
        field=folder / "field.h5",
        output=folder / "map.zarr",
        settings=SETTINGS,
        seed=3,
        source="digest",
    )


def test_a_flat_truth_becomes_a_map_with_one_layer(tmp_path):
    save_field(tmp_path / "field.h5", flat_field(), {"kind": "fourier"})
    truth_map(tmp_path)
    dataset = read_map(tmp_path / "map.zarr")
    assert dict(dataset.sizes) == {"x": 8, "y": 6, "z": 1}
    assert dataset.attrs["estimator"] == "truth"
    assert json.loads(dataset.attrs["provenance"])["source_digest"] == "digest"
    places = np.stack(np.meshgrid(dataset["x"], dataset["y"], indexing="ij"), axis=-1)
    places = jnp.asarray(places.reshape(-1, 2))
    ln_density = dataset["ln_density"].values.ravel()
    np.testing.assert_allclose(ln_density, flat_field().at(places), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(dataset["density"].values.ravel(), np.exp(ln_density), rtol=1e-6)
    exact = extinctions(flat_field(), places, 40)
    np.testing.assert_allclose(dataset["extinction"].values.ravel(), exact, rtol=2e-3)


def test_a_damaged_field_is_named_and_no_map_is_left(tmp_path):
    path = tmp_path / "field.h5"
    save_field(path, flat_field(), {"kind": "fourier"})
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(ProductError, match=r"field\.h5: damaged"):
        truth_map(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["field.h5"]
