"""Fields on the grid of a run."""

import jax.numpy as jnp
import numpy as np
import pytest
from tests.fields.examples import EXAMPLES, HALF_WIDTHS, fourier

from dust3d.fields.mean import ConstantMean
from dust3d.maps.gridding import grid_map
from dust3d.observations import Observations
from dust3d.rays.nodes import extinctions

CELLS = (8, 6, 4)


@pytest.mark.parametrize("name", ["Fourier 3-D", "sum 2-D", "network 2-D", "structured 2-D"])
def test_variables_are_the_field_and_its_exact_extinction(name):
    field, ndim = EXAMPLES[name]
    found = grid_map(field, HALF_WIDTHS[:ndim], CELLS[:ndim], {})
    centres = [found[axis].values for axis in "xyz"[:ndim]]
    mesh = np.stack(np.meshgrid(*centres, indexing="ij"), axis=-1).reshape(-1, ndim)
    ln_density = found["ln_density"].values.ravel()
    np.testing.assert_allclose(ln_density, field.at(jnp.asarray(mesh)), atol=1e-12)
    np.testing.assert_allclose(found["density"].values.ravel(), np.exp(ln_density), rtol=1e-12)
    exact = extinctions(field, jnp.asarray(mesh), 96)
    np.testing.assert_allclose(found["extinction"].values.ravel(), exact, rtol=2e-3, atol=1e-3)


def test_stars_are_counted_where_they_are():
    places = np.array([[1.9, 1.4, 0.9], [1.9, 1.4, 0.9], [-2.0, -1.5, -1.0], [0.1, 0.1, -0.1]])
    ones = np.ones(4)
    stars = Observations(places, ones, ones, np.zeros(4, dtype=np.int64), ("",))
    counts = grid_map(fourier(), HALF_WIDTHS, CELLS, {}, stars)["n_stars"]
    assert counts.values.sum() == 4
    assert counts.values[-1, -1, -1] == 2
    assert counts.values[0, 0, 0] == 1
    assert counts.sel(x=0.1, y=0.1, z=-0.1, method="nearest") == 1


def test_attributes_say_more_than_the_contract_but_not_less():
    found = grid_map(ConstantMean(0.0), HALF_WIDTHS, CELLS, {"estimator": "truth", "seed": 4})
    assert found.attrs["estimator"] == "truth"
    assert found.attrs["format"] == "dust3d-map"
