"""How far the prior lets ln rho stray: against many of its fields."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.inference.small import BOX, fit_settings, white

from dust3d.inference.build import field_prior
from dust3d.inference.spread import resolved_variance

VERTICAL = {"kind": "vertical", "std": 0.7, "knots_kpc": (0.0, 0.1, 0.3), "step_std": 0.6}


@pytest.mark.parametrize("mean", [{"kind": "constant", "std": 1.3}, VERTICAL])
def test_the_variance_is_that_of_many_fields(mean):
    settings = fit_settings(prior={"std": 1.2, "mean": mean})
    prior = field_prior(settings, 0, jnp.dtype("float64"))
    heights = np.array([-0.35, -0.1, 0.0, 0.2])
    places = jnp.asarray([[x, y, z] for z in heights for x, y in ((0.1, 0.2), (-0.7, 0.3))])
    like = prior.start(jax.random.key(0))
    draws = [prior.field(white(like, seed, 1.0)).at(places) for seed in range(1500)]
    found = np.var(np.stack(draws), axis=0).reshape(4, 2)
    # of a variance from n normal numbers: sqrt(2 / n)
    expected = resolved_variance(prior, heights)
    np.testing.assert_allclose(found, np.repeat(expected[:, None], 2, 1), rtol=4.5 * 0.052)
    assert BOX[2] > heights.max()
