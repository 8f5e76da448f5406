"""Sums of fields: densities multiply."""

import jax.numpy as jnp
import numpy as np
import pytest
from tests.fields.examples import fourier, network, vertical

from dust3d.fields.mean import ConstantMean
from dust3d.fields.sum import SumField


def test_densities_multiply():
    parts = (ConstantMean(0.4), vertical(), fourier(), network())
    x = jnp.array([0.4, -0.1, 0.2])
    expected = np.prod([np.exp(part(x)) for part in parts])
    np.testing.assert_allclose(np.exp(SumField(parts)(x)), expected, rtol=1e-12)


def test_a_sum_of_sums_is_the_sum():
    one, two, three = ConstantMean(0.4), vertical(), fourier()
    nested = SumField((one, SumField((two, three))))
    x = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (5, 3)))
    np.testing.assert_allclose(nested.at(x), SumField((one, two, three)).at(x), rtol=1e-12)


def test_nothing_cannot_be_summed():
    with pytest.raises(ValueError, match="at least one part"):
        SumField(())
