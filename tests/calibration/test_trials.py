"""Mocks, the scalars that are ranked, and one small calibration from the first draw to the end."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.stats import kstest, t
from tests.calibration.small import tiny
from tests.inference.small import FULL_LIKELIHOOD, fit_settings

from dust3d.calibration.mocks import draw_sky, draw_truth, observe
from dust3d.calibration.scalars import Scalars, named_places
from dust3d.calibration.summary import DISTANCES, summary
from dust3d.calibration.trials import Trials
from dust3d.config.base import Box
from dust3d.config.calibration import Calibration
from dust3d.conventions import R_V
from dust3d.errors import FitError
from dust3d.files import unsealed, write_json
from dust3d.inference.build import target_for
from dust3d.inference.settings import FitSettings
from dust3d.stages import calibrate, calibrated

FLOAT = jnp.dtype("float64")
BOX = Box(half_widths_kpc=(1.0, 0.8, 0.4))


def sky_of(number=400, seed=3):
    return draw_sky(BOX, Calibration(stars=number, errors_mag=(0.01, 0.2)), seed)


def target_of(**likelihood):
    return target_for(fit_settings(likelihood=likelihood), 2, 1, FLOAT)


def test_skies_have_stars_inside_and_errors_in_their_range():
    sky = sky_of()
    assert np.all(np.abs(sky.positions) < 0.8 * np.array(BOX.half_widths_kpc))
    assert 0.01 < sky.sigma.min() < 0.013
    assert 0.16 < sky.sigma.max() < 0.2
    assert np.bincount(sky.classes).tolist() == [200, 200]
    assert not np.array_equal(sky.positions, sky_of(seed=4).positions)


def test_truths_are_draws_of_the_prior_with_all_its_parameters():
    target = target_of(**FULL_LIKELIHOOD)
    keys = jax.random.split(jax.random.key(0), 600)
    drawn = np.stack([ravel_pytree(draw_truth(target, key))[0] for key in keys])
    like = target.start(jax.random.key(0))
    assert jax.tree.structure(draw_truth(target, keys[0])) == jax.tree.structure(like)
    assert set(like["likelihood"]) >= {"error_inflation", "floor_mag", "zero_points"}
    np.testing.assert_allclose(np.cov(drawn.T), np.eye(drawn.shape[1]), atol=0.25)
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=4.5 / np.sqrt(len(keys)))


@pytest.mark.parametrize("kind", ["gaussian", "student_t"])
def test_extinctions_are_drawn_from_the_likelihood(kind):
    target = target_of(**(FULL_LIKELIHOOD | {"kind": kind}))
    sky, truth = sky_of(800), draw_truth(target, jax.random.key(2))
    measured = observe(target, truth, sky, np.random.default_rng(0))
    field, nuisance = target.prior.field(truth["field"]), target.likelihood.nuisance
    some = nuisance(truth["likelihood"])
    # slow twin: many nodes, star by star
    x, w = np.polynomial.legendre.leggauss(64)
    points = (0.5 + 0.5 * x)[None, :, None] * sky.positions[:, None, :]
    density = np.exp(np.asarray(field.at(jnp.asarray(points.reshape(-1, 3))))).reshape(len(sky), -1)
    first = sky.distances * (density @ w) / 2
    second = sky.distances * (density**2 @ w) / 2
    variance = float(some.error_inflation) ** 2 * sky.sigma**2 + float(some.floor_mag) ** 2
    variance += float(some.substructure_kpc) * second
    mean = first + np.asarray(some.zero_points_mag)[sky.classes]
    white = (measured - mean) / np.sqrt(variance)
    law = "norm" if kind == "gaussian" else t(4.0).cdf
    assert kstest(white, law).pvalue > 0.01
    assert kstest(1.3 * white, law).pvalue < 0.01


def test_scalars_are_those_of_a_slow_twin():
    target = target_of(zero_point_std_mag=0.02, floor_mag={"median": 0.03})
    truth = draw_truth(target, jax.random.key(5))
    places = np.array([[0.3, -0.2, 0.1], [0.0, 0.5, -0.2]])
    found = Scalars(target, truth, BOX, places, 48).of(ravel_pytree(truth)[0][None])
    field = target.prior.field(truth["field"])
    x, w = np.polynomial.legendre.leggauss(80)

    def extinction(place):
        along = np.exp([float(field(jnp.asarray(s * place))) for s in (x + 1) / 2])
        return np.linalg.norm(place) * (along @ w) / 2

    for place, name in zip(named_places(BOX), ("near", "middle", "far"), strict=True):
        at = jnp.asarray(place)
        assert found.scalars[f"ln_density_{name}"][0] == pytest.approx(float(field(at)))
        expected = np.log(extinction(place))
        assert found.scalars[f"ln_extinction_{name}"][0] == pytest.approx(expected, abs=1e-6)
    assert found.ln_density[0, 1] == pytest.approx(float(field(jnp.asarray(places[1]))))
    assert found.extinction[0, 1] == pytest.approx(extinction(places[1]), rel=1e-6)
    own = truth["likelihood"]
    assert found.scalars["zero_point_mag"][0] == pytest.approx(
        R_V * 0.02 * float(own["zero_points"][0])
    )
    assert found.scalars["ln_floor_mag"][0] == pytest.approx(
        np.log(0.03) + 0.5 * float(own["floor_mag"])
    )
    assert found.scalars["lowest_mode"][0] == truth["field"]["varying"]["cos"][0]


def test_the_mass_of_an_even_field_is_that_of_the_sphere():
    target = target_of()
    even = jax.tree.map(jnp.zeros_like, draw_truth(target, jax.random.key(0)))
    found = Scalars(target, even, BOX, np.ones((1, 3)), 8).of(ravel_pytree(even)[0][None])
    radius = 0.6 * 0.4
    expected = np.log(0.5 * 4 / 3 * np.pi * radius**3)
    assert found.scalars["ln_mass"][0] == pytest.approx(expected, abs=0.05)


@pytest.fixture(scope="module")
def small(repository, tmp_path_factory):
    """A job of twelve mocks; as two jobs of six, and what they say together."""
    folder, config = tmp_path_factory.mktemp("calibration"), tiny(repository)
    sections = config.settings("posterior", "calibration")
    fixed = {"settings": config.fit_settings("fourier-1x1x1"), "seed": 1, "source": "s"}
    calibrate.ranks(output=folder / "both.json", part=0, **fixed, **sections)
    both = unsealed(json.loads((folder / "both.json").read_text()))
    parts = [folder / f"{part}.json" for part in range(2)]
    for part, path in enumerate(parts):
        write_json(path, both | {"outcomes": both["outcomes"][6 * part : 6 * part + 6]})
    output = folder / "all.json"
    calibrated.gather(parts=parts, output=output, level=0.99, seed=1, source="s")
    return [json.loads(path.read_text()) for path in (*parts, output)]


def test_a_small_calibration_ranks_every_scalar_of_every_mock(small):
    *parts, whole = small
    outcomes = [one for part in parts for one in part["outcomes"]]
    assert [one["number"] for one in outcomes] == list(range(12))
    for one in outcomes:
        assert len(one["ranks"]) == 14
        assert all(0 <= rank <= 15 for rank in one["ranks"].values())
        assert len(one["ln_density_ranks"]) == len(one["known"]) == 8
        assert one["gain_left"] < 60 * 1e-6
    assert set(whole["scalars"]) == {*outcomes[0]["ranks"], DISTANCES}
    assert (whole["mocks"], whole["samples"]) == (12, 15)
    for scalar in whole["scalars"].values():
        assert len(scalar["below"]) == 15
        assert scalar["below"] == sorted(scalar["below"])
    # so few mocks cannot show more than that nothing is quite wrong
    assert sum(scalar["inside"] for scalar in whole["scalars"].values()) >= 13
    assert 0.45 < whole["coverage"]["extinction"]["0.68"]["share"] < 0.9
    assert whole["provenance"]["inputs"].keys() == {"0.json", "1.json"}


def test_mocks_repeat_whatever_came_before_them(small, repository):
    """A job that is run again, or that has other mocks, makes the same of each."""
    config = tiny(repository)
    settings = FitSettings.parse(config.fit_settings("fourier-1x1x1"))
    sky = sky_of(60)
    arguments = (settings, config.posterior, config.calibration, sky, 1)
    together, alone = Trials(*arguments), Trials(*arguments)
    together.outcome(0)
    one, other = together.outcome(1).plain(), alone.outcome(1).plain()
    assert one.pop("seconds") != other.pop("seconds")
    assert one["ranks"] == other["ranks"]
    assert one["ln_density_ranks"] == other["ln_density_ranks"]


def test_a_fit_that_does_not_reach_its_maximum_is_an_error(repository):
    config = tiny(repository)
    plain = config.fit_settings("fourier-1x1x1")
    plain["optimiser"]["newton"]["max_steps"] = 1
    settings = FitSettings.parse(plain)
    trials = Trials(settings, config.posterior, config.calibration, sky_of(60), 1)
    with pytest.raises(FitError, match="after 1 Newton steps another would still raise"):
        trials.outcome(0)


def test_a_planted_spread_is_found(small):
    """Ranks as of samples whose spread is 0.7 of the truth's."""
    generator = np.random.default_rng(0)
    outcomes = []
    for number in range(200):
        one = dict(small[0]["outcomes"][0]) | {"number": number}
        even = {name: int(generator.integers(0, 16)) for name in one["ranks"]}
        narrow = int(np.sum(0.7 * generator.standard_normal(15) < generator.standard_normal()))
        outcomes.append(one | {"ranks": even | {"ln_mass": narrow}})
        outcomes[-1]["distance_rank"] = int(generator.integers(0, 16))
    found = summary(outcomes, samples=15, level=0.99, seed=0)["scalars"]
    assert [name for name, scalar in found.items() if not scalar["inside"]] == ["ln_mass"]
