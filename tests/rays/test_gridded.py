"""Fields seen through a fine grid against the fields themselves."""

import jax.numpy as jnp
import numpy as np
import pytest
from tests.fields.examples import EXAMPLES, HALF_WIDTHS, fourier

from dust3d.maps.gridding import fine_grid
from dust3d.rays.gridded import GriddedField
from dust3d.rays.nodes import moments

STARS = np.random.default_rng(6).uniform(-0.95, 0.95, (50, 3)) * np.asarray(HALF_WIDTHS)


@pytest.mark.parametrize("name", ["Fourier 2-D", "Fourier 3-D", "amplitude-phase 3-D", "sum 2-D"])
def test_extinctions_are_right_to_a_thousandth(name):
    field, ndim = EXAMPLES[name]
    gridded = GriddedField(field, fine_grid(field, HALF_WIDTHS[:ndim], (20,) * ndim))
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
    gridded = GriddedField(field, fine_grid(field, HALF_WIDTHS, (48, 48, 32)))
    first, _ = moments(field, jnp.asarray(STARS), nodes=96)
    np.testing.assert_allclose(gridded.extinctions(STARS), first, rtol=2e-3, atol=5e-4)


def test_chunks_change_nothing_and_no_stars_have_no_extinctions(monkeypatch):
    gridded = GriddedField(fourier(), fine_grid(fourier(), HALF_WIDTHS, (8, 8, 8)))
    whole = gridded.extinctions(STARS)
    monkeypatch.setattr("dust3d.rays.gridded._POINTS_PER_CHUNK", 100)
    np.testing.assert_allclose(gridded.extinctions(STARS), whole, rtol=1e-12)
    assert gridded.extinctions(np.zeros((0, 3))).shape == (0,)
    assert gridded.extinctions(np.zeros((1, 3)))[0] == 0
