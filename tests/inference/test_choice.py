"""The choice of production rays: cheap, and within its limit on fields it has not seen."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from tests.inference.small import fit_settings, observations

from dust3d.inference import choice as module
from dust3d.inference.build import field_prior, sightlines_for
from dust3d.inference.choice import choose_rays
from dust3d.inference.settings import Choice
from dust3d.keys import key_for
from dust3d.rays.nodes import extinctions

ORDER = (8, 6, 3)
STARS = replace(observations(600), sigma=np.full(600, 0.05))


def chosen(*, batches=1, stars=STARS, **production):
    settings = fit_settings(ORDER, rays={"production": production})
    return settings, choose_rays(settings, stars, batches=batches, seed=3)


@pytest.mark.parametrize("kernel", ["auto", "planes", "deconvolved", "cubic"])
@pytest.mark.parametrize("limit", [0.5, 0.05])
def test_other_draws_of_the_prior_keep_to_the_limit(kernel, limit):
    settings, choice = chosen(kernel=kernel, max_error_sigma=limit)
    assert kernel in ("auto", choice.kernel)
    rows = np.arange(len(STARS.sigma))[None]
    rays = sightlines_for(settings, STARS.positions, rows, choice=choice)
    prior = field_prior(settings, 0, jnp.dtype("float64"))
    errors = []
    for seed in range(11, 16):
        generator = np.random.default_rng(seed)
        xi = prior.start(key_for(0, "start"))
        size = xi["varying"]["cos"].shape
        xi["varying"] = {p: jnp.asarray(generator.standard_normal(size)) for p in ("cos", "sin")}
        field = prior.field(xi)
        found, _ = rays.moments(field, jnp.asarray(0), False)
        exact = np.asarray(extinctions(field, jnp.asarray(STARS.positions), 48))
        dust = np.mean(STARS.extinction) / np.mean(exact)
        errors.append(dust * np.percentile(np.abs(found - exact) / STARS.sigma, 99))
    assert np.median(errors) < limit
    # and the grid is not finer than it need be
    if kernel == "deconvolved":
        assert np.median(errors) > 0.2 * limit


def error_on(field, settings, choice):
    rows = np.arange(len(STARS.sigma))[None]
    rays = sightlines_for(settings, STARS.positions, rows, choice=choice)
    found, _ = rays.moments(field, jnp.asarray(0), False)
    exact = np.asarray(extinctions(field, jnp.asarray(STARS.positions), 96))
    return np.percentile(np.abs(found - exact) / STARS.sigma, 99)


@pytest.mark.parametrize("kernel", ["auto", "cubic"])
def test_a_field_with_more_contrast_than_the_prior_takes_rays_of_its_own(kernel):
    settings, by_draws = chosen(kernel=kernel, max_error_sigma=0.3)
    prior = field_prior(settings, 0, jnp.dtype("float64"))
    xi = prior.start(key_for(0, "start"))
    generator = np.random.default_rng(4)
    size = xi["varying"]["cos"].shape
    xi["varying"] = {p: jnp.asarray(1.7 * generator.standard_normal(size)) for p in ("cos", "sin")}
    field = prior.field(xi)
    own = choose_rays(settings, STARS, batches=1, seed=3, field=field)
    assert error_on(field, settings, by_draws) > 0.3
    assert 0.1 < error_on(field, settings, own) < 0.3


def test_a_tighter_limit_takes_a_finer_grid():
    coarse, fine = (
        chosen(kernel="deconvolved", max_error_sigma=limit)[1].oversampling for limit in (0.5, 0.05)
    )
    assert fine > 1.5 * coarse


def test_smaller_sigmas_are_a_tighter_limit():
    exact = replace(STARS, sigma=STARS.sigma / 10)
    same = chosen(kernel="deconvolved", max_error_sigma=0.05)[1].oversampling
    found = chosen(kernel="deconvolved", max_error_sigma=0.5, stars=exact)[1].oversampling
    assert found == pytest.approx(same, rel=0.02)


def test_voxels_count_once_a_batch(monkeypatch):
    monkeypatch.setattr(module, "_VOXEL_COST", 1e-3)
    assert chosen(max_error_sigma=0.1)[1].kernel == "planes"
    assert chosen(max_error_sigma=0.1, batches=100_000)[1].kernel != "planes"


def test_what_is_configured_is_taken():
    assert chosen(kernel="planes", oversampling=3.0)[1] == Choice("planes", 3.0)
    assert chosen(oversampling=3.0)[1].oversampling == 3.0


def test_an_impossible_limit_takes_the_best_there_is(monkeypatch):
    monkeypatch.setattr(module, "_MOST_VOXELS", 20_000)
    choice = chosen(max_error_sigma=1e-6)[1]
    assert choice.oversampling >= 1
