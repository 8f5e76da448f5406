"""Fields seen through a fine grid against the fields themselves."""

import jax.numpy as jnp
import numpy as np
import pytest
from tests.fields.examples import EXAMPLES, HALF_WIDTHS, fourier

from dust3d.fields.fourier import FourierField, fourier_modes
from dust3d.fields.mean import ConstantMean, VerticalMean
from dust3d.fields.structured import Filaments, StructuredField
from dust3d.fields.sum import SumField
from dust3d.rays.gridded import GriddedField, grid_for_field
from dust3d.rays.nodes import moments

STARS = np.random.default_rng(6).uniform(-0.95, 0.95, (50, 3)) * np.asarray(HALF_WIDTHS)


@pytest.mark.parametrize("name", ["Fourier 2-D", "Fourier 3-D", "amplitude-phase 3-D", "sum 2-D"])
def test_extinctions_are_right_to_a_thousandth(name):
    field, ndim = EXAMPLES[name]
    gridded = GriddedField(field, grid_for_field(field, HALF_WIDTHS[:ndim]))
    stars = STARS[:, :ndim]
    first, second = moments(field, jnp.asarray(stars), nodes=64)
    np.testing.assert_allclose(gridded.extinctions(stars), first, rtol=1e-3)
    np.testing.assert_allclose(gridded.moments(stars)[1], second, rtol=2e-3)
    shape = gridded.ln_density(stars.reshape(5, 10, ndim))
    assert shape.shape == (5, 10)
    np.testing.assert_allclose(shape.ravel(), field.at(jnp.asarray(stars)), atol=5e-3)


@pytest.mark.parametrize("name", ["vertical", "network 3-D", "structured 3-D"])
def test_fields_that_are_no_series_too(name):
    field, _ = EXAMPLES[name]
    gridded = GriddedField(field, grid_for_field(field, HALF_WIDTHS))
    first, _ = moments(field, jnp.asarray(STARS), nodes=96)
    np.testing.assert_allclose(gridded.extinctions(STARS), first, rtol=2e-3, atol=5e-4)


def test_chunks_change_nothing_and_no_stars_have_no_extinctions(monkeypatch):
    gridded = GriddedField(fourier(), grid_for_field(fourier(), HALF_WIDTHS))
    whole = gridded.extinctions(STARS)
    monkeypatch.setattr("dust3d.rays.gridded._POINTS_PER_CHUNK", 100)
    np.testing.assert_allclose(gridded.extinctions(STARS), whole, rtol=1e-12)
    assert gridded.extinctions(np.zeros((0, 3))).shape == (0,)
    assert gridded.extinctions(np.zeros((1, 3)))[0] == 0


def series(order):
    modes = fourier_modes(order)
    scale = 0.3 / np.linalg.norm(modes, axis=1)
    cos, sin = np.random.default_rng(3).normal(size=(2, len(modes))) * scale
    return FourierField(order, HALF_WIDTHS, cos, sin)


def test_the_grid_follows_the_highest_modes_of_a_sum():
    both = SumField((fourier(), SumField((ConstantMean(0.0), series((9, 3, 3))))))
    assert grid_for_field(both, HALF_WIDTHS).cells == (72, 24, 24)


def test_a_series_on_a_vertical_profile_is_seen_as_well_as_alone():
    profile = VerticalMean((0.0, 0.1, 0.3), [0.5, 0.0, -2.0], 0.015)
    field = SumField((series((8, 8, 4)), profile))
    gridded = GriddedField(field, grid_for_field(field, HALF_WIDTHS))
    first, _ = moments(field, jnp.asarray(STARS), nodes=128)
    np.testing.assert_allclose(gridded.extinctions(STARS), first, rtol=1e-3)


def test_clouds_narrower_than_any_cell_of_a_map_are_seen():
    towards = STARS[:20]
    clouds = Filaments(
        np.log(np.full(20, 80.0)), 0.5 * towards, np.zeros((20, 3)), np.full(20, 0.02)
    )
    field = StructuredField((ConstantMean(0.0),), (clouds,))
    gridded = GriddedField(field, grid_for_field(field, HALF_WIDTHS))
    first, _ = moments(field, jnp.asarray(towards), nodes=1024)
    assert np.all(first > 3)
    np.testing.assert_allclose(gridded.extinctions(towards), first, rtol=5e-3)


def test_a_large_grid_stays_within_memory_but_holds_all_modes(monkeypatch):
    monkeypatch.setattr("dust3d.rays.gridded._MOST_VOXELS", 1000)
    grid = grid_for_field(fourier(), HALF_WIDTHS)
    assert all(n >= 2 * m + 2 for n, m in zip(grid.cells, fourier().order, strict=True))
    assert grid.size <= 2000
