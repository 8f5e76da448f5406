"""True extinctions: closed forms, both integrators, and what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from dust3d.config.base import Box
from dust3d.config.mock import FourierTruth, MockExtinction
from dust3d.errors import Dust3dError
from dust3d.fields.mean import ConstantMean
from dust3d.fields.structured import Disc, Filaments, StructuredField
from dust3d.mock import extinctions
from dust3d.mock.extinctions import converged_extinctions, true_extinctions
from dust3d.mock.truths import draw_truth

REFERENCE = MockExtinction(integrator="reference", noise_mag=0.05)
EXACT = MockExtinction(integrator="exact", noise_mag=0.05)
STARS = np.random.default_rng(0).uniform(-0.6, 0.6, (60, 3))


@pytest.mark.parametrize("settings", [REFERENCE, EXACT], ids=["reference", "exact"])
def test_a_uniform_sky_has_density_times_distance(settings):
    field = ConstantMean(jnp.asarray(np.log(0.7)))
    found = true_extinctions(field, STARS, settings, 1)
    np.testing.assert_allclose(found, 0.7 * np.linalg.norm(STARS, axis=1), rtol=1e-5)


def test_a_disc_has_its_closed_form():
    field = StructuredField((Disc(np.log(0.7), -0.015, 0.1),))
    found = converged_extinctions(field, STARS, 1e-6)
    z = STARS[:, 2]
    per_height = 0.7 * 0.1 * (np.tanh((z + 0.015) / 0.1) - np.tanh(0.15)) / z
    expected = per_height * np.linalg.norm(STARS, axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def cloud_in_thin_dust(sigma):
    cloud = Filaments(np.log([60.0]), np.array([[0.5, 0, 0]]), np.zeros((1, 3)), np.array([sigma]))
    return StructuredField((Disc(np.log(1e-4), 0.0, 0.1),), (cloud,))


BEHIND_BEFORE_BESIDE = np.array([[0.8, 0, 0], [0.4, 0, 0], [0, 0.8, 0]])


@pytest.mark.parametrize("sigma", [0.002, 0.01, 0.03])
def test_a_cloud_adds_its_column_only_behind_it(sigma):
    found = converged_extinctions(cloud_in_thin_dust(sigma), BEHIND_BEFORE_BESIDE, 1e-6)
    expected = 1e-4 * np.array([0.8, 0.4, 0.8])
    # along x the column is that of a Gaussian up to the star
    expected[:2] += np.sqrt(2 * np.pi) * sigma * 60 * norm.cdf([0.3 / sigma, -0.1 / sigma])
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_a_cloud_that_adaptive_steps_jump_over_is_noticed(monkeypatch):
    thin = 1e-4 * np.array([0.8, 0.4, 0.8])
    monkeypatch.setattr(extinctions.ode, "extinctions", lambda *_: thin)
    with pytest.raises(Dust3dError, match=r"disagree.*1 of 3.*\[0\.8, 0.*integrator: exact"):
        true_extinctions(cloud_in_thin_dust(0.01), BEHIND_BEFORE_BESIDE, REFERENCE, 1)


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_integrators_agree_on_a_fourier_sky(ndim):
    box = Box(half_widths_kpc=(1.0, 1.0, 0.4)[:ndim])
    truth = FourierTruth(kind="fourier", order=(4, 4, 2)[:ndim])
    field = draw_truth(truth, box, 1)
    stars = STARS[:, :ndim] * np.array([1, 1, 0.5])[:ndim]
    exact = true_extinctions(field, stars, EXACT, 1)
    np.testing.assert_allclose(exact, true_extinctions(field, stars, REFERENCE, 1), atol=2e-4)


def test_batches_of_near_and_far_stars_keep_their_order(monkeypatch):
    field = draw_truth(
        FourierTruth(kind="fourier", order=(3, 3, 1)), Box(half_widths_kpc=(1, 1, 0.4)), 1
    )
    whole = converged_extinctions(field, STARS, 1e-6)
    monkeypatch.setattr(extinctions, "_BATCH", 16)
    np.testing.assert_allclose(converged_extinctions(field, STARS, 1e-6), whole, atol=2e-6)


def test_disagreement_with_the_neural_ode_is_an_error(monkeypatch):
    field = ConstantMean(jnp.asarray(0.0))
    monkeypatch.setattr(
        extinctions, "converged_extinctions", lambda *_: 1.01 * np.linalg.norm(STARS, axis=1)
    )
    with pytest.raises(Dust3dError, match=r"disagree.*integrator: reference"):
        true_extinctions(field, STARS, EXACT, 1)


def test_rays_that_never_converge_are_an_error(monkeypatch):
    monkeypatch.setattr(extinctions, "_MOST_NODES", 64)
    thin = Filaments(np.log([60.0]), np.array([[0.5, 0, 0]]), np.zeros((1, 3)), np.array([0.004]))
    field = StructuredField((Disc(0.0, 0.0, 0.1),), (thin,))
    with pytest.raises(Dust3dError, match="still change"):
        converged_extinctions(field, np.array([[0.8, 0.0, 0.0]]), 1e-9)
