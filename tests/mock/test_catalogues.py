"""The two catalogues: what they show, miss, double and invent, and the truth about it."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from dust3d.config.mock import (
    Mock,
    MockAstrometry,
    MockCatalogues,
    MockExtinction,
    MockStars,
    UniformTruth,
)
from dust3d.errors import ConfigError
from dust3d.mock.catalogues import observe
from dust3d.mock.motion import local_axes
from dust3d.mock.stars import TrueStars

N = 4000
EXACT_PLACES = MockAstrometry(
    position_error_mas=0.0, second_position_error_mas=0.0, proper_motion_error_mas_per_yr=0.0
)
NOTHING_LOST = MockCatalogues(
    astrometry_completeness=1.0,
    extinction_completeness=1.0,
    missing_proper_motion_fraction=0.0,
    duplicate_fraction=0.0,
    double_fraction=0.0,
    spurious_fraction=0.0,
)
PERFECT = {"astrometry": EXACT_PLACES, "catalogues": NOTHING_LOST}


def true_stars(ndim=3):
    rng = np.random.default_rng(1)
    names = rng.choice(["A", "F"], N)
    return TrueStars(
        position=rng.uniform(-0.6, 0.6, (N, ndim)),
        star_class=names,
        zero_point=np.where(names == "A", 0.0, 0.06),
        absolute_magnitude=rng.normal(2, 0.5, N),
        proper_motion=rng.normal(0, 20, (N, 2)),
        extinction=rng.uniform(0, 1.5, N),
        excess=np.where(rng.uniform(0, 1, N) < 0.1, rng.exponential(0.5, N), 0.0),
    )


def mock(**sections):
    return Mock(
        truth=UniformTruth(kind="uniform", density_mag_per_kpc=0.7),
        stars=MockStars(number=N),
        **{"astrometry": MockAstrometry(), "catalogues": MockCatalogues()} | sections,
    )


def by_id(table, name, ids):
    """The rows of a table sorted by id that have these ids."""
    rows = np.searchsorted(table[name], ids)
    np.testing.assert_array_equal(table[name][rows], ids)
    return table[rows]


def paired(sky):
    """Truth, and rows of both catalogues, of all known pairs."""
    both = (sky.truth["source_id"] >= 0) & (sky.truth["extinction_id"] >= 0)
    truth = sky.truth[both]
    first = by_id(sky.astrometry, "source_id", truth["source_id"])
    return truth, first, by_id(sky.extinction, "extinction_id", truth["extinction_id"])


def coords(table):
    return SkyCoord(table["ra"], table["dec"])


def test_columns_units_and_epochs():
    sky = observe(true_stars(), mock(), 1)
    units = {"ra": u.deg, "dec": u.deg, "pmra": u.mas / u.yr, "pmdec": u.mas / u.yr}
    units |= {"parallax": u.mas, "parallax_error": u.mas, "phot_g_mean_mag": u.mag}
    assert sky.astrometry.colnames == ["source_id", *units]
    assert {name: sky.astrometry[name].unit for name in units} == units
    second = ["extinction_id", "ra", "dec", "extinction", "extinction_error", "v_mag", "class"]
    assert sky.extinction.colnames == second
    assert sky.extinction["extinction"].unit == u.mag
    truth = ["source_id", "extinction_id", "distance", "extinction", "l", "b", "class", "outlier"]
    assert sky.truth.colnames == truth
    assert sky.truth["distance"].unit == u.kpc
    assert (sky.astrometry.meta["epoch_yr"], sky.extinction.meta["epoch_yr"]) == (2016.0, 1991.25)


def test_ids_are_unique_sorted_and_tell_nothing():
    sky = observe(true_stars(), mock(), 1)
    for table, name in ((sky.astrometry, "source_id"), (sky.extinction, "extinction_id")):
        assert table[name].dtype == np.int64
        assert np.all(np.diff(table[name]) > 0)
    truth, _, _ = paired(sky)
    rank = np.corrcoef(np.argsort(truth["source_id"]), np.argsort(truth["extinction_id"]))[0, 1]
    assert abs(rank) < 4 / np.sqrt(len(truth))


def test_proper_motion_moves_positions_between_the_epochs():
    sky = observe(true_stars(), mock(**PERFECT), 1)
    _, first, second = paired(sky)
    moved = coords(second)
    there = coords(first).cartesian.xyz.value.T
    step = (moved.cartesian.xyz.value.T - there) * (180 / np.pi) * 3.6e6
    east, north = local_axes(there)
    for axis, name in ((east, "pmra"), (north, "pmdec")):
        expected = first[name].to_value("mas/yr") * (1991.25 - 2016.0)
        np.testing.assert_allclose(np.sum(step * axis, axis=1), expected, atol=1e-3)


def test_without_errors_positions_are_true_and_parallaxes_have_the_zero_point():
    sky = observe(true_stars(), mock(**PERFECT), 1)
    truth, first, _ = paired(sky)
    there = SkyCoord(truth["l"], truth["b"], frame="galactic").icrs
    assert np.max(there.separation(coords(first)).to_value(u.mas)) < 1e-3
    off = (first["parallax"] - 1 * u.mas / truth["distance"].to_value(u.kpc)).to_value(u.mas)
    assert np.mean(off) == pytest.approx(-0.03, abs=4 * 0.02 / np.sqrt(N))
    assert np.std(off) == pytest.approx(0.02, rel=4 / np.sqrt(2 * N))
    assert np.all(first["parallax_error"] == 0.02 * u.mas)


def test_positions_and_motions_have_their_errors():
    errors = MockAstrometry(
        position_error_mas=1.0,
        second_position_error_mas=10.0,
        proper_motion_error_mas_per_yr=0.0,
    )
    sky = observe(true_stars(), mock(astrometry=errors, catalogues=NOTHING_LOST), 1)
    truth, first, second = paired(sky)
    there = SkyCoord(truth["l"], truth["b"], frame="galactic").icrs
    # the mean square separation of two components with error e each is 2 e^2
    first_ms = np.mean(there.separation(coords(first)).to_value(u.mas) ** 2)
    assert first_ms == pytest.approx(2 * 1.0**2, rel=5 / np.sqrt(N))
    still = TrueStars(**{**vars(true_stars()), "proper_motion": np.zeros((N, 2))})
    truth, first, second = paired(observe(still, mock(astrometry=errors), 1))
    both_ms = np.mean(coords(first).separation(coords(second)).to_value(u.mas) ** 2)
    assert both_ms == pytest.approx(2 * (1.0**2 + 10.0**2), rel=5 / np.sqrt(len(truth)))


def test_extinctions_have_noise_zero_points_outliers_and_understated_errors():
    noise = MockExtinction(noise_mag=0.08, understatement=2.0)
    sky = observe(true_stars(), mock(extinction=noise, **PERFECT), 1)
    truth, _, second = paired(sky)
    off = (second["extinction"] - truth["extinction"]).to_value(u.mag)
    np.testing.assert_allclose(second["extinction_error"].to_value(u.mag), 0.04)
    plain = ~truth["outlier"]
    for name, zero_point in (("A", 0.0), ("F", 0.06)):
        chosen = off[plain & (truth["class"] == name)]
        n = len(chosen)
        assert np.mean(chosen) == pytest.approx(zero_point, abs=4 * 0.08 / np.sqrt(n))
        assert np.std(chosen) == pytest.approx(0.08, rel=4 / np.sqrt(2 * n))
    assert np.mean(off[truth["outlier"]]) > 0.4
    assert np.all(truth["outlier"] == (true_stars().excess > 0))


def test_magnitudes_of_both_agree():
    _, first, second = paired(observe(true_stars(), mock(**PERFECT), 1))
    difference = (first["phot_g_mean_mag"] - second["v_mag"]).to_value(u.mag)
    assert np.std(difference) == pytest.approx(0.01 * np.sqrt(2), rel=0.1)


def test_each_catalogue_misses_its_share():
    lossy = NOTHING_LOST.model_copy(
        update={"astrometry_completeness": 0.7, "extinction_completeness": 0.4}
    )
    sky = observe(true_stars(), mock(catalogues=lossy), 1)
    for table, share in ((sky.astrometry, 0.7), (sky.extinction, 0.4)):
        assert len(table) == pytest.approx(share * N, abs=4 * np.sqrt(N * share * (1 - share)))
    both = (sky.truth["source_id"] >= 0) & (sky.truth["extinction_id"] >= 0)
    assert both.sum() == pytest.approx(0.28 * N, abs=4 * np.sqrt(N * 0.28 * 0.72))
    assert np.all((sky.truth["source_id"] >= 0) | (sky.truth["extinction_id"] >= 0))


def test_missing_motions_miss_both_components():
    some = NOTHING_LOST.model_copy(update={"missing_proper_motion_fraction": 0.2})
    table = observe(true_stars(), mock(catalogues=some), 1).astrometry
    missing = np.isnan(table["pmra"])
    np.testing.assert_array_equal(missing, np.isnan(table["pmdec"]))
    assert np.mean(missing) == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / N))


def test_a_star_listed_twice_is_known_under_both_ids():
    twice = NOTHING_LOST.model_copy(update={"duplicate_fraction": 0.1})
    sky = observe(true_stars(), mock(catalogues=twice), 1)
    sources, counts = np.unique(sky.truth["source_id"], return_counts=True)
    assert len(sky.extinction) - N == (counts == 2).sum() == pytest.approx(0.1 * N, rel=0.3)
    assert len(np.unique(sky.truth["extinction_id"])) == len(sky.truth) == len(sky.extinction)
    _, first, second = paired(sky)
    twin = np.isin(first["source_id"], sources[counts == 2])
    pairs = second[twin][np.argsort(first["source_id"][twin])]
    # the same star measured anew
    assert np.all(pairs["extinction"][::2] != pairs["extinction"][1::2])
    assert np.max(coords(pairs[::2]).separation(coords(pairs[1::2]))) < 0.1 * u.arcsec


def test_companions_are_in_the_first_catalogue_only():
    doubles = NOTHING_LOST.model_copy(update={"double_fraction": 0.1})
    sky = observe(true_stars(), mock(catalogues=doubles, astrometry=EXACT_PLACES), 1)
    alone = sky.truth[sky.truth["extinction_id"] < 0]
    assert len(sky.extinction) == N
    assert len(alone) == len(sky.astrometry) - N == pytest.approx(0.1 * N, rel=0.3)
    companions = by_id(sky.astrometry, "source_id", alone["source_id"])
    primaries = sky.astrometry[~np.isin(sky.astrometry["source_id"], alone["source_id"])]
    row, separation, _ = coords(companions).match_to_catalog_sky(coords(primaries))
    assert 0.3 <= separation.to_value(u.arcsec).min() < 0.4
    assert 2.9 < separation.to_value(u.arcsec).max() <= 3.0
    assert np.all(companions["phot_g_mean_mag"] > primaries["phot_g_mean_mag"][row])
    assert np.all(companions["pmra"] == primaries["pmra"][row])


def test_spurious_rows_have_no_truth():
    spurious = NOTHING_LOST.model_copy(update={"spurious_fraction": 0.05})
    sky = observe(true_stars(), mock(catalogues=spurious), 1)
    for table, name in ((sky.astrometry, "source_id"), (sky.extinction, "extinction_id")):
        invented = table[~np.isin(table[name], sky.truth[name])]
        assert len(invented) == 0.05 * N
        assert np.abs(np.mean(coords(invented).cartesian.xyz, axis=1)).max() < 4 / np.sqrt(600)
    assert len(sky.truth) == N


def test_a_flat_sky_has_catalogues_too():
    truth, first, _ = paired(observe(true_stars(ndim=2), mock(**PERFECT), 1))
    assert np.all(np.abs(truth["b"]) < 1e-10 * u.deg)
    assert np.all(np.abs(coords(first).galactic.b) < 1e-6 * u.deg)


def test_seeds_decide():
    first, again, other = (observe(true_stars(), mock(), seed) for seed in (1, 1, 2))
    for name in ("astrometry", "extinction", "truth"):
        one, same = getattr(first, name), getattr(again, name)
        for column in one.colnames:
            np.testing.assert_array_equal(one[column], same[column])
    assert len(np.intersect1d(first.astrometry["source_id"], other.astrometry["source_id"])) == 0


def test_an_empty_catalogue_is_refused():
    nobody = NOTHING_LOST.model_copy(update={"extinction_completeness": 0.0})
    with pytest.raises(ConfigError, match=r"mock\.catalogues\.extinction_completeness"):
        observe(true_stars(), mock(catalogues=nobody), 1)
