"""Pairs of stars: against SkyCoord, against an obvious search, and with planted errors."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, search_around_sky

from dust3d.config.catalogues import Crossmatch
from dust3d.crossmatch import Sky, match
from dust3d.crossmatch import pairs as pairs_module
from dust3d.crossmatch.report import agreement, chance_rate, known_scores, separation_histogram

NEW, OLD = 2016.0, 1991.25
YEARS = NEW - OLD


def sky(ra, dec, pmra=np.nan, pmdec=np.nan, epoch=NEW) -> Sky:
    """Positions [deg] and motions [mas / yr], scalars repeated."""
    columns = np.broadcast_arrays(*(np.asarray(c, float) for c in (ra, dec, pmra, pmdec)))
    return Sky(*(np.atleast_1d(column) for column in columns), epoch)


def random_sky(n: int, seed: int, motion_mas_per_yr: float = 300.0) -> tuple[Sky, Sky]:
    """The same stars twice, in the same order, at two epochs; both catalogues know motions."""
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, n), np.rad2deg(np.arcsin(rng.uniform(-1, 1, n)))
    motion = rng.normal(0, motion_mas_per_yr, (2, n))
    first = sky(ra, dec, *motion)
    moved = SkyCoord(
        ra * u.deg,
        dec * u.deg,
        pm_ra_cosdec=motion[0] * u.mas / u.yr,
        pm_dec=motion[1] * u.mas / u.yr,
        distance=10 * u.pc,
    ).apply_space_motion(dt=(OLD - NEW) * u.yr)
    return first, sky(moved.ra.deg, moved.dec.deg, *motion, epoch=OLD)


def settings(**more) -> Crossmatch:
    return Crossmatch(**{"radius_arcsec": 1.0, **more})


def test_moved_stars_are_all_found_and_unmoved_ones_are_not():
    first, second = random_sky(2000, 1)
    found = match(first, second, settings())
    np.testing.assert_array_equal(found.first, np.arange(2000))
    np.testing.assert_array_equal(found.second, np.arange(2000))
    assert found.separation.max() < 1e-3
    assert not found.ambiguous.any()
    still = sky(first.ra, first.dec, 0.0, 0.0)
    assert len(match(still, second, settings()).first) < 100


def test_stars_cross_the_meridian_and_the_pole():
    first = sky([359.9999, 0.0, 90.0], [0.0, 89.9999, -89.9999], [1e4, 0, 0], [0, 1e4, -1e4])
    moved = SkyCoord(
        first.ra * u.deg,
        first.dec * u.deg,
        pm_ra_cosdec=first.pmra * u.mas / u.yr,
        pm_dec=first.pmdec * u.mas / u.yr,
        distance=10 * u.pc,
    ).apply_space_motion(dt=10 * u.yr)
    second = sky(moved.ra.deg, moved.dec.deg, epoch=NEW + 10)
    np.testing.assert_array_equal(match(first, second, settings()).second, [0, 1, 2])


@pytest.mark.parametrize("rows_at_once", [7, 1000])
def test_the_search_in_bands_equals_a_plain_one(monkeypatch, rows_at_once):
    monkeypatch.setattr(pairs_module, "ROWS_AT_ONCE", rows_at_once)
    rng = np.random.default_rng(5)
    ra, dec = rng.uniform(10, 10.02, (2, 400)), rng.uniform(-0.01, 0.01, (2, 400))
    first, second = sky(ra[0], dec[0], 0, 0), sky(ra[1], dec[1], epoch=OLD)
    found = match(first, second, settings(radius_arcsec=3.0))
    coords = [SkyCoord(s.ra * u.deg, s.dec * u.deg) for s in (first, second)]
    i, j, angle, _ = search_around_sky(*coords, 3.0 * u.arcsec)
    expected = []
    for k in range(len(i)):
        of_first, of_second = angle[i == i[k]], angle[j == j[k]]
        if angle[k] == of_first.min() == of_second.min():
            others = np.sort(np.concatenate([of_first, of_second]).to_value("arcsec"))[2:]
            near = len(others) > 0 and others[0] <= 3 * angle[k].to_value("arcsec")
            expected.append((i[k], j[k], near))
    assert len(expected) > 50
    rows = list(zip(found.first, found.second, found.ambiguous, strict=True))
    assert sorted(rows) == sorted(expected)


def test_a_missing_motion_is_taken_from_the_other_catalogue():
    first, second = random_sky(50, 2, motion_mas_per_yr=2000.0)
    blind = Sky(first.ra, first.dec, first.pmra * np.nan, first.pmdec, NEW)
    found = match(blind, second, settings())
    np.testing.assert_array_equal(found.second, np.arange(50))


def test_a_motion_that_nobody_knows_widens_the_radius():
    # 80 mas / yr for 24.75 years is 1.98 arcsec, beyond the radius of 1
    shift = 80.0 * YEARS / 3.6e6
    first, second = sky(10.0, 0.0), sky(10.0, shift, epoch=OLD)
    assert len(match(first, second, settings(missing_motion_mas_per_yr=0.0)).first) == 0
    found = match(first, second, settings(missing_motion_mas_per_yr=100.0))
    np.testing.assert_allclose(found.separation, 80e-3 * YEARS, rtol=1e-6)


def test_pairs_are_mutual_and_second_candidates_make_them_ambiguous():
    arcsec = 1 / 3600
    first = sky([10.0, 20.0, 30.0, 30.0 + 0.3 * arcsec, 40.0], 0.0, 0.0, 0.0)
    second = sky(
        # alone; a duplicate at 2 and at 5 times the separation; one star for two; far away
        [10 + 0.1 * arcsec, 20 + 0.1 * arcsec, 20 - 0.2 * arcsec, 30 + 0.1 * arcsec, 40.1],
        0.0,
        epoch=OLD,
    )
    found = match(first, second, settings(ambiguity_ratio=3.0))
    assert found.first.tolist() == [0, 1, 2]
    assert found.second.tolist() == [0, 1, 3]
    assert found.ambiguous.tolist() == [False, True, True]
    np.testing.assert_allclose(found.separation, 0.1, rtol=1e-6)
    narrow = match(first, second, settings(ambiguity_ratio=1.5))
    assert not narrow.ambiguous.any()


def test_nothing_near_gives_no_pairs():
    assert len(match(sky(0.0, 0.0, 0, 0), sky(50.0, 0.0), settings()).first) == 0


def test_a_first_catalogue_without_motions_uses_the_second():
    first, second = random_sky(100, 3)
    blind = sky(first.ra, first.dec)
    np.testing.assert_array_equal(match(blind, second, settings()).second, np.arange(100))


def test_completeness_and_purity_count_planted_errors():
    known = np.arange(10), np.arange(10) + 100
    found = np.array([0, 1, 2, 3, 50]), np.array([100, 101, 102, 999, 888])
    scores = known_scores(found, known, complete=False)
    assert (scores["n"], scores["n_found"], scores["n_judged"], scores["n_right"]) == (10, 4, 4, 3)
    assert scores["completeness"] == 0.3
    assert scores["purity"] == 0.75
    assert known_scores(found, known, complete=True)["purity"] == 0.6


def test_either_row_of_a_duplicate_is_right():
    known = np.array([1, 1, 2]), np.array([10, 11, 12])
    scores = known_scores((np.array([1, 2]), np.array([11, 12])), known, complete=True)
    assert (scores["n"], scores["n_found"]) == (2, 2)
    assert scores["completeness"] == 1.0
    assert scores["purity"] == 1.0


def test_chance_is_the_density_times_the_area_of_the_circle():
    rng = np.random.default_rng(8)
    n = 4000

    def field() -> Sky:
        return sky(rng.uniform(0, 2, n), rng.uniform(-1, 1, n), 0.0, 0.0, epoch=OLD)

    rate = chance_rate(field(), field(), settings(radius_arcsec=3.0))
    expected = n / 4 * np.pi * (3.0 / 3600) ** 2
    assert rate["skies"] == len(rate["pairs"]) == 4
    assert rate["rate"] == pytest.approx(expected, rel=0.35)
    assert chance_rate(field(), field(), settings(shifted_skies=0))["rate"] is None


def test_the_histogram_holds_every_pair():
    separation = np.array([0.0, 1e-4, 0.01, 0.5, 2.6])
    histogram = separation_histogram(separation, 1.0)
    assert sum(histogram["counts"]) == 5
    assert histogram["edges_arcsec"][0] == 0.0
    assert histogram["edges_arcsec"][-1] == 2.6


def test_agreement_is_robust():
    rng = np.random.default_rng(0)
    difference = np.concatenate([rng.normal(0.3, 2.0, 20000), [1e3] * 200, [np.nan] * 50])
    found = agreement(difference)
    assert found["n"] == 20200
    assert found["median"] == pytest.approx(0.3, abs=0.1)
    assert found["width"] == pytest.approx(2.0, rel=0.05)
    assert found["outliers"] == pytest.approx(200 / 20200, rel=0.05)
    assert agreement(np.array([np.nan]))["median"] is None
