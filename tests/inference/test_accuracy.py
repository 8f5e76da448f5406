"""How exact rays are: nodes double until they settle, errors are in sigmas."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from tests.inference.small import BOX, fit_settings, observations

from dust3d.errors import FitError
from dust3d.fields.base import Field
from dust3d.fields.fourier import FourierField
from dust3d.fields.mean import ConstantMean
from dust3d.fields.modes import fourier_modes
from dust3d.fields.sum import SumField
from dust3d.inference import accuracy
from dust3d.inference.accuracy import ray_accuracy, settle_nodes
from dust3d.inference.batches import Batches, batch_rows
from dust3d.inference.build import sightlines_for
from dust3d.rays.nodes import extinctions

ORDER = (4, 3, 2)


def field(size=0.3):
    generator = np.random.default_rng(0)
    n = len(fourier_modes(ORDER))
    series = FourierField(ORDER, BOX, *(size * generator.standard_normal((2, n))))
    return SumField((series, ConstantMean(0.0)))


class Broken(Field):
    """A density that is not a number."""

    def __call__(self, position):
        return position[0] * jnp.nan


def test_nodes_double_until_the_extinctions_settle():
    stars = observations(60)
    nodes, error, exact = settle_nodes(field(), stars, 2, 0.01)
    assert nodes > 2
    assert nodes & (nodes - 1) == 0
    assert error < 0.01 * stars.sigma.min()
    truth = np.asarray(extinctions(field(), jnp.asarray(stars.positions), 200))
    assert np.abs(exact - truth).max() < 0.01 * stars.sigma.min()
    # enough at once: nothing is doubled
    assert settle_nodes(field(), stars, 64, 0.01)[0] == 64


def test_a_field_that_cannot_be_integrated_is_a_fit_error(monkeypatch):
    with pytest.raises(FitError, match=r"with 4 nodes .* too rough to integrate"):
        settle_nodes(Broken(), observations(5), 2, 0.1)
    monkeypatch.setattr(accuracy, "_MOST_NODES", 8)
    with pytest.raises(FitError, match=r"with 16 nodes .* too rough to integrate"):
        settle_nodes(field(), observations(5), 2, 1e-9)


def measured(stars, oversampling, size=0.3):
    rays = {"production": {"oversampling": oversampling}}
    settings = fit_settings(ORDER, rays=rays)
    rows = batch_rows(len(stars), 25, np.random.default_rng(0))
    lines = sightlines_for(settings, stars.positions, rows)
    batches = Batches(lines, stars, rows, settings.dtype)
    ordered = stars.take(rows[rows >= 0])
    found = ray_accuracy(field(size), batches, ordered, first_nodes=16, limit_sigma=0.01)
    return found, lines, rows


def test_errors_of_a_fits_rays_are_in_sigmas_and_fall_with_finer_voxels():
    stars = observations(60)
    coarse, lines, rows = measured(stars, 2)
    fine, _, _ = measured(stars, 6)
    assert fine.error_sigma_p99 < 0.3 * coarse.error_sigma_p99
    assert fine.error_sigma_median < fine.error_sigma_p99
    truth = np.asarray(extinctions(field(), jnp.asarray(stars.positions), 200))
    found = np.zeros(60)
    for i, members in enumerate(rows):
        values, _ = lines.moments(field(), jnp.asarray(i), False)
        real = members >= 0
        found[members[real]] = np.asarray(values)[real]
    expected = np.percentile(np.abs(found - truth) / stars.sigma, 99)
    assert coarse.error_sigma_p99 == pytest.approx(expected, rel=0.02)


def test_half_the_sigma_is_twice_the_error():
    stars = observations(60)
    half = replace(stars, sigma=stars.sigma / 2)
    errors = [measured(some, 2)[0].error_sigma_p99 for some in (stars, half)]
    assert errors[1] == pytest.approx(2 * errors[0], rel=0.05)
