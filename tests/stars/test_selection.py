"""Cuts that are counted in order, and the split of held-out stars."""

import astropy_healpix
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from dust3d.config.base import Box
from dust3d.config.catalogues import Heldout, Selection
from dust3d.errors import TableError
from dust3d.stars.heldout import choose_heldout
from dust3d.stars.selection import select_stars

BOX = Box(half_widths_kpc=(1.0, 1.0, 1.0))


def matched(n: int = 40) -> QTable:
    """Stars at 0.2 kpc all over the sky, well measured on both sides."""
    rng = np.random.default_rng(3)
    return QTable(
        {
            "source_id": np.arange(n) + 1000,
            "extinction_id": np.arange(n),
            "separation": np.full(n, 0.01) * u.arcsec,
            "ambiguous": np.zeros(n, bool),
            "ra": rng.uniform(0, 360, n) * u.deg,
            "dec": rng.uniform(-80, 80, n) * u.deg,
            "parallax": np.full(n, 5.0) * u.mas,
            "parallax_error": np.full(n, 0.05) * u.mas,
            "phot_g_mean_mag": np.full(n, 9.0) * u.mag,
            "parallax_2": np.full(n, 5.0) * u.mas,
            "parallax_error_2": np.full(n, 1.0) * u.mas,
            "extinction": np.linspace(-0.3, 3.0, n) * u.mag,
            "extinction_error": np.full(n, 0.1) * u.mag,
            "class": np.full(n, "A0-4"),
        }
    )


def choose(table: QTable, *, box: Box = BOX, drop_ambiguous: bool = False, **more):
    stars, cuts = select_stars(table, Selection(**more), box, drop_ambiguous=drop_ambiguous)
    return stars, {cut["name"]: cut["removed"] for cut in cuts}


def test_nothing_is_cut_by_extinction_or_its_sign():
    stars, cuts = choose(matched())
    assert len(stars) == 40
    assert sum(cuts.values()) == 0
    assert stars.colnames == [
        "source_id",
        "extinction_id",
        "ra",
        "dec",
        "l",
        "b",
        "parallax",
        "parallax_error",
        "distance",
        "distance_error",
        "extinction",
        "extinction_error",
        "class",
        "phot_g_mean_mag",
    ]
    np.testing.assert_allclose(stars["distance"].to_value("kpc"), 0.2, rtol=1e-3)
    galactic = SkyCoord(stars["ra"], stars["dec"]).galactic
    np.testing.assert_allclose(stars["l"].value, galactic.l.deg)
    np.testing.assert_allclose(stars["b"].value, galactic.b.deg)


def test_the_zero_point_is_subtracted():
    stars, _ = choose(matched(), parallax_zero_point_mas=-5.0, max_relative_distance_error=0.5)
    np.testing.assert_allclose(stars["distance"].to_value("kpc"), 0.1, rtol=1e-3)
    np.testing.assert_array_equal(stars["parallax"].value, 5.0)


def test_each_cut_counts_what_it_removes_in_order():
    table = matched()
    table["extinction"][0] = np.nan
    table["extinction_error"][0] = 9 * u.mag  # already gone when the errors are cut
    table["ambiguous"][1] = True
    table["class"][2] = "F5-9"
    table["extinction_error"][3] = 0.3 * u.mag
    table["extinction_error"][4] = 0.0 * u.mag
    table["parallax"][5] = np.nan
    table["parallax_2"][6] = 9.5 * u.mas
    table["parallax_2"][7] = np.nan  # cannot disagree
    table["parallax_error"][8] = 3.0 * u.mas
    table["parallax"][9] = 1.0 * u.mas
    table["parallax"][10] = 1.25 * u.mas
    stars, cuts = choose(
        table,
        drop_ambiguous=True,
        classes=("A0-4",),
        max_extinction_error_mag=0.2,
        max_parallax_disagreement_sigma=4.4,
        max_distance_kpc=0.9,
        box_fraction=0.3,
    )
    assert cuts == {
        "no extinction": 1,
        "ambiguous pair": 1,
        "class": 1,
        "extinction error not positive": 1,
        "extinction error": 1,
        "no parallax": 1,
        "parallax disagreement": 1,
        "distance error": 1,
        "beyond the largest distance": 1,
        "outside the used part of the box": 1,
    }
    assert stars["source_id"].tolist() == [1007, *range(1011, 1040)]


def test_ambiguous_pairs_stay_unless_dropped():
    table = matched()
    table["ambiguous"] = True
    assert len(choose(table)[0]) == 40
    with pytest.raises(TableError, match="ambiguous pair: 40"):
        choose(table, drop_ambiguous=True)


def test_too_few_stars_names_the_cuts_that_removed_them():
    table = matched()
    table["parallax"][:35] = 0.5 * u.mas
    with pytest.raises(
        TableError,
        match=r"5 of 40 .* 10 or more\. Removed by beyond the largest distance: 35 "
        r"\(raise selection\.max_distance_kpc\)$",
    ):
        choose(table, max_distance_kpc=0.5)


def test_too_few_pairs_are_no_matter_of_cuts():
    with pytest.raises(TableError, match="have only 4 pairs, where a fit needs 10"):
        choose(matched(4))


@pytest.mark.parametrize(
    ("column", "cut"),
    [("extinction", "no extinction"), ("extinction_error", "extinction error not positive")],
)
def test_what_the_catalogue_lacks_is_looked_for_in_its_file(column, cut):
    table = matched()
    table[column] = np.nan * u.mag
    with pytest.raises(TableError, match=rf"{cut}: 40 \(see the column `{column}` of the file of"):
        choose(table)


def test_unknown_classes_are_told_which_there_are():
    with pytest.raises(
        TableError, match=r"class: 40 \(selection\.classes; .* are: \(none\), A0-4\)"
    ):
        table = matched()
        table["class"][0] = ""
        choose(table, classes=("A",))


def test_stars_of_a_two_dimensional_run_lie_in_the_plane():
    table = matched()
    plane = SkyCoord(np.linspace(0, 350, 40) * u.deg, np.full(40, 1e-4) * u.deg, frame="galactic")
    table["ra"], table["dec"] = plane.icrs.ra, plane.icrs.dec
    table["dec"][0] += 5 * u.deg
    stars, cuts = choose(table, box=Box(half_widths_kpc=(1.0, 1.0)))
    assert cuts["off the plane"] == 1
    np.testing.assert_array_equal(stars["b"].value, 0.0)
    np.testing.assert_allclose(stars["l"].value, np.linspace(0, 350, 40)[1:], atol=1e-9)


def test_random_stars_are_held_out_the_same_way_each_time():
    angle = np.zeros(1000)
    heldout = choose_heldout(angle, angle, Heldout(fraction=0.1), seed=5)
    assert heldout.sum() == 100
    np.testing.assert_array_equal(
        heldout, choose_heldout(angle, angle, Heldout(fraction=0.1), seed=5)
    )
    assert (heldout != choose_heldout(angle, angle, Heldout(fraction=0.1), seed=6)).any()


def test_whole_pixels_are_held_out_until_the_share_is_reached():
    rng = np.random.default_rng(2)
    longitude = rng.uniform(0, 360, 5000)
    latitude = np.rad2deg(np.arcsin(rng.uniform(-1, 1, 5000)))
    settings = Heldout(fraction=0.2, by="healpix", nside=4)
    heldout = choose_heldout(longitude, latitude, settings, seed=1)
    pixel = astropy_healpix.lonlat_to_healpix(
        longitude * u.deg, latitude * u.deg, 4, order="nested"
    )
    assert not set(pixel[heldout]) & set(pixel[~heldout])
    largest = np.bincount(pixel).max()
    assert 1000 <= heldout.sum() < 1000 + largest


def test_some_stars_are_always_left_on_both_sides():
    angle = np.array([0.0, 0.0, 180.0])
    for by in ("random", "healpix"):
        for fraction in (0.01, 0.9):
            settings = Heldout(fraction=fraction, by=by, nside=1)
            assert 0 < choose_heldout(angle, np.zeros(3), settings, seed=0).sum() < 3


def test_one_pixel_cannot_be_split():
    settings = Heldout(by="healpix", nside=1)
    with pytest.raises(TableError, match=r"40 stars lie in one HEALPix pixel.*heldout\.nside"):
        choose_heldout(np.full(40, 10.0), np.zeros(40), settings, seed=0)
