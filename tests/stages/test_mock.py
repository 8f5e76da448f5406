"""The stage that makes a mock: files that read back, for every kind of truth and integrator."""

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
from astropy.table import QTable

from dust3d.config.mock import Mock
from dust3d.errors import ConfigError
from dust3d.io.fields import load_field
from dust3d.stages import mock

FOURIER = {"kind": "fourier", "order": [3, 3, 1]}
STRUCTURED = {
    "kind": "structured",
    "turbulence": {"order": [2, 2, 2]},
    "clouds": {"number": 3, "radius_kpc": [0.02, 0.04]},
    "filaments": {"number": 2, "radius_kpc": [0.02, 0.04]},
    "cavity": {},
}
EMPTY = {"kind": "uniform", "density_mag_per_kpc": 1e-6}


def make(folder, truth, *, half_widths=(0.8, 0.8, 0.4), seed=3, integrator="exact", **stars):
    sections = {
        "truth": truth,
        "stars": {"number": 300, **stars},
        "extinction": {"integrator": integrator},
    }
    settings = {
        "box": {"half_widths_kpc": half_widths},
        "mock": Mock.model_validate(sections).model_dump(mode="json"),
    }
    paths = {
        "astrometry": folder / "stars/astrometry.h5",
        "extinction": folder / "stars/extinction.h5",
        "truth_stars": folder / "truth/stars.h5",
        "truth_field": folder / "truth/field.h5",
    }
    mock.make(**paths, settings=settings, seed=seed, source="digest")
    return paths


def read(path):
    return QTable.read(path, path="stars")


@pytest.mark.parametrize("truth", [FOURIER, STRUCTURED, EMPTY], ids=lambda t: t["kind"])
@pytest.mark.parametrize("integrator", ["reference", "exact"])
def test_products_read_back_and_the_saved_field_makes_the_extinctions(tmp_path, truth, integrator):
    paths = make(tmp_path, truth, integrator=integrator)
    tables = {name: read(paths[name]) for name in ("astrometry", "extinction", "truth_stars")}
    for table in tables.values():
        assert table.meta["provenance"]["seed"] == 3
        assert table.meta["provenance"]["source_digest"] == "digest"
    assert tables["extinction"].meta["epoch_yr"] == 1991.25
    field, attrs = load_field(paths["truth_field"])
    assert attrs["kind"] == truth["kind"]
    known = tables["truth_stars"][:30]
    unit = np.stack(
        [
            np.cos(known["b"]) * np.cos(known["l"]),
            np.cos(known["b"]) * np.sin(known["l"]),
            np.sin(known["b"]),
        ],
        axis=1,
    )
    t, w = np.polynomial.legendre.leggauss(200)
    distance = known["distance"].to_value("kpc")
    points = (0.5 + 0.5 * t)[None, :, None] * (distance[:, None] * unit.value)[:, None, :]
    rho = np.exp(np.asarray(field.at(jnp.asarray(points.reshape(-1, 3))))).reshape(30, 200)
    slow = distance * (rho @ w) / 2
    np.testing.assert_allclose(known["extinction"].to_value("mag"), slow, atol=1e-4)


def test_an_empty_sky_gives_no_extinction(tmp_path):
    paths = make(tmp_path, EMPTY)
    assert np.all(read(paths["truth_stars"])["extinction"].value < 1e-5)
    observed = read(paths["extinction"])["extinction"].value
    assert np.mean(observed) == pytest.approx(0, abs=4 * 0.05 / np.sqrt(len(observed)))


def test_a_flat_mock_lies_in_the_plane(tmp_path):
    paths = make(tmp_path, {"kind": "fourier", "order": [3, 3]}, half_widths=(0.8, 0.8))
    known = read(paths["truth_stars"])
    assert np.all(np.abs(known["b"].to_value("deg")) < 1e-9)
    field, _ = load_field(paths["truth_field"])
    assert np.isfinite(field(jnp.zeros(2)))


def test_a_seed_makes_the_same_mock_and_another_seed_another(tmp_path):
    seeds = {"first": 3, "again": 3, "other": 4}
    runs = [make(tmp_path / name, FOURIER, seed=seed) for name, seed in seeds.items()]
    first, again, other = (read(paths["astrometry"]) for paths in runs)
    for column in first.colnames:
        np.testing.assert_array_equal(first[column], again[column])
    assert not np.isin(first["source_id"], other["source_id"]).any()
    assert not np.isin(first["parallax"].value, other["parallax"].value).any()


def test_strings_and_ids_keep_their_types(tmp_path):
    paths = make(tmp_path, EMPTY)
    table = read(paths["extinction"])
    assert table["extinction_id"].dtype == np.int64
    assert set(table["class"]) == {"A"}
    with h5py.File(paths["truth_field"]) as file:
        assert file.attrs["format"] == "dust3d-field"


def test_nothing_is_written_when_no_star_is_seen(tmp_path):
    with pytest.raises(ConfigError, match="raise the limit"):
        make(tmp_path, EMPTY, magnitude_limit_mag=-30)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
