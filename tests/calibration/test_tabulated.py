"""Tabulated rays beside those that make their waves anew, values and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from tests.inference.small import FULL_LIKELIHOOD, exact_batches, fit_settings, observations

from dust3d.calibration.mocks import draw_truth
from dust3d.calibration.tabulated import TabulatedSightlines, table_bytes
from dust3d.config.model import ConstantMean, VerticalMean
from dust3d.inference.batches import Batches, rows_in_order
from dust3d.inference.build import target_for
from dust3d.inference.products import Products

FLOAT = jnp.dtype("float64")


@pytest.mark.parametrize("mean", [ConstantMean(), VerticalMean(kind="vertical")])
def test_tabulated_rays_are_exact_rays(mean):
    prior = {"std": 1.0, "mean": mean}
    target = target_for(fit_settings(prior=prior, likelihood=FULL_LIKELIHOOD), 2, 1, FLOAT)
    truth, stars = draw_truth(target, jax.random.key(1)), observations(40)
    flat, _ = ravel_pytree(truth)
    rays = TabulatedSightlines(stars.positions, 24, target.prior.parts["varying"])
    rows = rows_in_order(len(stars), len(stars))
    tabulated = Products(target, Batches(rays, stars, rows, FLOAT), truth)
    anew = Products(target, exact_batches(stars, nodes=24, batch=len(stars)), truth)
    v = jnp.asarray(np.random.default_rng(0).standard_normal(flat.size))
    found, expected = (
        (*products.expand(flat)[:2], products.multiply(flat, products.expand(flat)[2], v))
        for products in (tabulated, anew)
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * float(jnp.max(jnp.abs(v))))


def test_the_size_of_the_table_is_known_beforehand():
    target = target_for(fit_settings(), 2, 1, FLOAT)
    prior = target.prior.parts["varying"]
    rays = TabulatedSightlines(observations(10).positions, 12, prior)
    assert rays.waves.nbytes == table_bytes(10, 12, len(prior.modes))
