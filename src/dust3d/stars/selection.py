"""Which matched stars are used, and how many each cut removes.

Stars are never chosen by their extinction or its sign: that would empty the map of dust, or fill
it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from dust3d.config.base import Box
from dust3d.config.catalogues import Selection
from dust3d.coords import directions
from dust3d.distances import distance_posterior
from dust3d.errors import TableError
from dust3d.io.tables import in_unit, rows_of, texts

FEWEST_STARS = 10
_OFF_PLANE_DEG = 0.1
"""Latitude beyond which a star is not in the plane of a 2-D run."""
_IN_FILE = (
    "see the column `{0}` of the file of catalogues.extinction, and catalogues.extinction.columns"
)


@dataclass(frozen=True)
class Cut:
    """A cut: its name, which rows it would remove, shape (n,), and what to do about it."""

    name: str
    removes: np.ndarray
    remedy: str


def select_stars(
    matched: QTable, selection: Selection, box: Box, *, drop_ambiguous: bool
) -> tuple[QTable, list[dict[str, int | str]]]:
    """Choose stars, and give them distances and Galactic coordinates.

    Parameters
    ----------
    matched
        Pairs with the columns of both catalogues; those of both end in `_2` for the second.
    selection
        The cuts; the zero point of the first catalogue's parallaxes; the distance prior.
    box
        The box of the field. With two half-widths the stars lie in the Galactic plane.
    drop_ambiguous
        Whether ambiguous pairs are left out.

    Returns
    -------
    The stars; and the cuts in order, each with `name`, `removed` and `left`.

    Raises
    ------
    TableError
        If fewer than 10 stars are left, naming the cuts that removed them.
    """
    stars = _with_distances(matched, selection, box)
    cuts = _cuts(matched, stars, selection, box, drop_ambiguous)
    left = np.ones(len(matched), bool)
    counted: list[dict[str, int | str]] = []
    for cut in cuts:
        removed = int((left & cut.removes).sum())
        left &= ~cut.removes
        counted.append({"name": cut.name, "removed": removed, "left": int(left.sum())})
    if left.sum() < FEWEST_STARS:
        raise _too_few(len(matched), cuts, counted)
    return rows_of(stars, left), counted


def _too_few(n: int, cuts: list[Cut], counted: list[dict[str, int | str]]) -> TableError:
    removing = [
        f"{cut.name}: {count['removed']} ({cut.remedy})"
        for cut, count in zip(cuts, counted, strict=True)
        if count["removed"]
    ]
    if not removing:
        return TableError(
            f"the two catalogues have only {n} pairs, where a fit needs {FEWEST_STARS} stars or "
            "more; give more stars in `catalogues`, or check the epochs and "
            "crossmatch.radius_arcsec"
        )
    return TableError(
        f"{counted[-1]['left']} of {n} matched stars are left; a fit needs {FEWEST_STARS} or more. "
        f"Removed by {'; '.join(removing)}"
    )


def _with_distances(matched: QTable, selection: Selection, box: Box) -> QTable:
    """All matched stars with the columns of the selected ones."""
    longitude, latitude = _galactic_deg(matched)
    if box.ndim == 2:
        latitude = np.zeros(len(matched))
    distance, error = distance_posterior(
        in_unit(matched, "parallax", "mas") - selection.parallax_zero_point_mas,
        in_unit(matched, "parallax_error", "mas"),
        selection.distance_scale_kpc,
    )
    stars = QTable()
    for name in ("source_id", "extinction_id", "ra", "dec"):
        stars[name] = matched[name]
    stars["l"] = longitude * u.deg
    stars["b"] = latitude * u.deg
    stars["parallax"] = in_unit(matched, "parallax", "mas") * u.mas
    stars["parallax_error"] = in_unit(matched, "parallax_error", "mas") * u.mas
    stars["distance"] = distance * u.kpc
    stars["distance_error"] = error * u.kpc
    stars["extinction"] = in_unit(matched, "extinction", "mag") * u.mag
    stars["extinction_error"] = in_unit(matched, "extinction_error", "mag") * u.mag
    unclassed = np.full(len(matched), "", dtype="U1")
    stars["class"] = texts(matched, "class") if "class" in matched.colnames else unclassed
    if "phot_g_mean_mag" in matched.colnames:
        stars["phot_g_mean_mag"] = in_unit(matched, "phot_g_mean_mag", "mag") * u.mag
    return stars


def _galactic_deg(table: QTable) -> tuple[np.ndarray, np.ndarray]:
    """Galactic longitude and latitude [deg], each of shape (n,)."""
    coords: Any = SkyCoord(table["ra"], table["dec"]).galactic
    return coords.l.deg, coords.b.deg


def _cuts(
    matched: QTable, stars: QTable, selection: Selection, box: Box, drop_ambiguous: bool
) -> list[Cut]:
    extinction, error = stars["extinction"].value, stars["extinction_error"].value
    distance, distance_error = stars["distance"].value, stars["distance_error"].value
    cuts = [Cut("no extinction", ~np.isfinite(extinction), _IN_FILE.format("extinction"))]
    if drop_ambiguous:
        ambiguous = np.asarray(matched["ambiguous"], dtype=bool)
        cuts.append(Cut("ambiguous pair", ambiguous, "unset crossmatch.drop_ambiguous"))
    if selection.classes is not None:
        other = ~np.isin(texts(stars, "class"), selection.classes)
        found = ", ".join(
            sorted({name or "(none)" for name in texts(stars, "class").tolist()})[:12]
        )
        cuts.append(Cut("class", other, f"selection.classes; the stars' classes are: {found}"))
    remedy = _IN_FILE.format("extinction_error")
    cuts.append(Cut("extinction error not positive", ~(error > 0), remedy))
    if selection.max_extinction_error_mag is not None:
        large = error > selection.max_extinction_error_mag
        cuts.append(Cut("extinction error", large, "raise selection.max_extinction_error_mag"))
    remedy = "see the column `parallax` of the file of catalogues.astrometry"
    cuts.append(Cut("no parallax", ~np.isfinite(distance), remedy))
    if selection.max_parallax_disagreement_sigma is not None:
        sigmas = np.abs(parallax_disagreement(matched, selection.parallax_zero_point_mas))
        apart = sigmas > selection.max_parallax_disagreement_sigma
        remedy = "raise selection.max_parallax_disagreement_sigma"
        cuts.append(Cut("parallax disagreement", apart, remedy))
    imprecise = ~(distance_error / distance <= selection.max_relative_distance_error)
    cuts.append(Cut("distance error", imprecise, "raise selection.max_relative_distance_error"))
    if selection.max_distance_kpc is not None:
        far = ~(distance <= selection.max_distance_kpc)
        cuts.append(Cut("beyond the largest distance", far, "raise selection.max_distance_kpc"))
    if box.ndim == 2:
        off_plane = np.abs(_galactic_deg(matched)[1]) > _OFF_PLANE_DEG
        cuts.append(Cut("off the plane", off_plane, "give box.half_widths_kpc three numbers"))
    towards = directions(stars["l"].value, stars["b"].value)[:, : box.ndim]
    reach = selection.box_fraction * np.array(box.half_widths_kpc)
    outside = ~(np.abs(towards * distance[:, None]) <= reach).all(axis=1)
    cuts.append(Cut("outside the used part of the box", outside, "raise box.half_widths_kpc"))
    return cuts


def parallax_disagreement(matched: QTable, zero_point_mas: float) -> np.ndarray:
    """Difference of the two catalogues' parallaxes in standard deviations.

    Parameters
    ----------
    matched
        Pairs, n rows.
    zero_point_mas
        Zero point of the first catalogue's parallaxes.

    Returns
    -------
    Array of shape (n,); NaN where one of them has none.
    """
    difference = (
        in_unit(matched, "parallax", "mas") - zero_point_mas - in_unit(matched, "parallax_2", "mas")
    )
    error = np.hypot(
        in_unit(matched, "parallax_error", "mas"), in_unit(matched, "parallax_error_2", "mas")
    )
    return difference / error
