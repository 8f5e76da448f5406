"""The likelihood against scipy, its scatter terms, zero points and Fisher information."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dust3d.config.model import Likelihood as Settings
from dust3d.config.model import Parameter
from dust3d.conventions import R_V
from dust3d.inference.likelihood import Likelihood, Nuisance, Stars

FLOAT = jnp.dtype("float64")
FULL = Settings(
    kind="student_t",
    error_inflation=Parameter(median=1.1, ln_std=0.3),
    floor_mag=Parameter(median=0.03),
    substructure_kpc=Parameter(median=0.01, ln_std=0.7),
    zero_point_std_mag=0.02,
)
GAUSSIAN = Settings(error_inflation=Parameter(median=1.0, fit=False))


def likelihood(settings=FULL, n_classes=2):
    return Likelihood(settings, n_classes, FLOAT)


def some_stars(n=50):
    generator = np.random.default_rng(1)
    return Stars(
        jnp.asarray(generator.normal(0.5, 0.5, n)),
        jnp.asarray(generator.uniform(0.02, 0.1, n)),
        jnp.asarray(np.arange(n) % 2, jnp.int32),
        jnp.ones(n),
    )


def test_densities_are_those_of_scipy():
    generator = np.random.default_rng(2)
    observed, mean = generator.normal(size=(2, 100))
    variance = generator.uniform(0.01, 2, 100)
    arrays = [jnp.asarray(a) for a in (observed, mean, variance)]
    np.testing.assert_allclose(
        likelihood(GAUSSIAN).log_density(*arrays),
        stats.norm.logpdf(observed, mean, np.sqrt(variance)),
        rtol=1e-12,
    )
    for nu in (1.0, 4.0, 30.0):
        settings = Settings(kind="student_t", degrees_of_freedom=nu)
        np.testing.assert_allclose(
            likelihood(settings).log_density(*arrays),
            stats.t.logpdf(observed, nu, mean, np.sqrt(variance)),
            rtol=1e-12,
            atol=1e-12,
        )


def test_variance_is_the_sum_of_its_three_terms_and_the_mean_has_the_zero_point():
    measured = some_stars()
    nuisance = Nuisance(*(jnp.asarray(v) for v in (1.5, 0.04, 0.02)), jnp.asarray([0.1, -0.2]))
    first, second = jnp.linspace(0.1, 1, 50), jnp.linspace(0, 3, 50)
    mean, variance = likelihood().moments(nuisance, first, second, measured)
    expected = (1.5 * np.asarray(measured.sigma)) ** 2 + 0.04**2 + 0.02 * np.asarray(second)
    np.testing.assert_allclose(variance, expected, rtol=1e-12)
    zero = np.where(np.asarray(measured.classes) == 0, 0.1, -0.2)
    np.testing.assert_allclose(mean, np.asarray(first) + zero, rtol=1e-12)


def test_rays_that_ring_below_zero_leave_the_variance_positive():
    made, stars = likelihood(), some_stars(3)
    nuisance = Nuisance(*(jnp.asarray(v) for v in (1.0, 0.0, 0.01)), jnp.zeros(2))
    second = jnp.asarray([-100.0, 0.0, 1.0])
    _, variance = made.moments(nuisance, jnp.ones(3), second, stars)
    np.testing.assert_allclose(variance, stars.sigma**2 + jnp.asarray([0, 0, 0.01]))
    slopes = jax.grad(
        lambda second: made.log_likelihood(nuisance, jnp.ones(3), second, stars).sum()
    )(second)
    assert np.all(np.isfinite(slopes))
    assert slopes[0] == 0


def test_zero_points_are_r_v_times_an_excess_of_the_stated_width():
    some = likelihood()
    xi = some.start() | {"zero_points": jnp.asarray([1.0, -2.0])}
    zero_points = some.nuisance(xi).zero_points_mag
    np.testing.assert_allclose(zero_points, R_V * 0.02 * np.array([1.0, -2.0]), rtol=1e-12)
    assert R_V == 3.1
    drop = float(some.log_prior(xi) - some.log_prior(some.start()))
    # one and two standard deviations of 0.02 mag in E(B-V)
    assert drop == pytest.approx(-0.5 * (1 + 4), rel=1e-12)


def test_scatter_parameters_are_log_normal_about_their_medians():
    some = likelihood()
    start = some.nuisance(some.start())
    assert float(start.error_inflation) == pytest.approx(1.1)
    assert float(start.floor_mag) == pytest.approx(0.03)
    assert float(start.substructure_kpc) == pytest.approx(0.01)
    moved = some.nuisance(some.start() | {"substructure_kpc": jnp.asarray(2.0)})
    assert float(moved.substructure_kpc) == pytest.approx(0.01 * np.exp(2 * 0.7), rel=1e-12)


def test_what_is_not_asked_for_is_not_fitted():
    some = likelihood(GAUSSIAN)
    assert some.start() == {}
    assert float(some.log_prior({})) == 0
    assert not some.needs_second_moment
    assert not some.fits_zero_points
    nuisance = some.nuisance({})
    assert float(nuisance.error_inflation) == 1
    assert float(nuisance.floor_mag) == 0
    assert float(nuisance.substructure_kpc) == 0
    np.testing.assert_array_equal(nuisance.zero_points_mag, [0, 0])


def test_parameters_whiten_back_and_follow_the_names_of_classes():
    some = likelihood()
    xi = {
        "error_inflation": jnp.asarray(0.3),
        "floor_mag": jnp.asarray(-1.2),
        "substructure_kpc": jnp.asarray(0.8),
        "zero_points": jnp.asarray([0.4, -1.5]),
    }
    nuisance = some.nuisance(xi)
    stated = {
        "error_inflation": float(nuisance.error_inflation),
        "floor_mag": float(nuisance.floor_mag),
        "substructure_kpc": float(nuisance.substructure_kpc),
        "zero_points_mag": dict(zip("AF", nuisance.zero_points_mag.tolist(), strict=True)),
    }
    back = some.whiten(stated, ("A", "F"))
    assert set(back) == set(xi)
    for name in xi:
        np.testing.assert_allclose(back[name], xi[name], rtol=1e-12)
    turned = some.whiten(stated, ("F", "B"))["zero_points"]
    np.testing.assert_allclose(turned, [-1.5, 0.0], rtol=1e-12)


@pytest.mark.parametrize("kind", ["gaussian", "student_t"])
def test_fisher_information_is_the_variance_of_the_score(kind):
    some = likelihood(Settings(kind=kind))
    scale, n = 0.3, 200_000
    generator = np.random.default_rng(5)
    noise = generator.standard_normal(n) if kind == "gaussian" else generator.standard_t(4, n)

    def density(mean, ln_variance, observed):
        return some.log_density(observed[None], mean[None], jnp.exp(ln_variance)[None])[0]

    score = jax.vmap(jax.grad(density, (0, 1)), (None, None, 0))
    about = score(jnp.asarray(0.0), jnp.asarray(2 * np.log(scale)), jnp.asarray(scale * noise))
    by_mean, by_ln_variance = some.fisher(jnp.asarray([scale**2]))
    for found, expected in zip(about, (float(by_mean[0]), by_ln_variance), strict=True):
        squares = np.asarray(found) ** 2
        error = squares.std() / np.sqrt(n)
        assert squares.mean() == pytest.approx(expected, abs=4 * error)
        assert error < 0.01 * expected
    cross = np.asarray(about[0]) * np.asarray(about[1])
    assert cross.mean() == pytest.approx(0, abs=4 * cross.std() / np.sqrt(n))
