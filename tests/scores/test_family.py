"""The run's family against scipy's distributions and an integral."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm, t

from dust3d.config.model import Likelihood
from dust3d.scores.family import Family

FAMILIES = [
    (Likelihood(kind="gaussian"), norm()),
    (Likelihood(kind="student_t"), t(4)),
    (Likelihood(kind="student_t", degrees_of_freedom=2.5), t(2.5)),
]


@pytest.mark.parametrize(("settings", "twin"), FAMILIES)
def test_families_are_scipys(settings, twin):
    family = Family.of(settings)
    residual, scale = np.linspace(-2, 2, 21), np.linspace(0.1, 1, 21)
    expected = twin.logpdf(residual / scale) - np.log(scale)
    np.testing.assert_allclose(family.log_density(residual, scale), expected, rtol=1e-12)
    np.testing.assert_allclose(family.cdf(residual), twin.cdf(residual), rtol=1e-12)
    assert family.quantile(0.3) == pytest.approx(twin.ppf(0.3), rel=1e-12)
    share, _ = quad(twin.pdf, -family.unit_width, family.unit_width)
    assert share == pytest.approx(norm.cdf(1) - norm.cdf(-1), rel=1e-6)
