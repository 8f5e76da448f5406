"""Stars: real catalogues read, two catalogues paired, stars chosen and split."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

from dust3d.config.base import Box
from dust3d.config.catalogues import (
    Catalogue,
    Crossmatch,
    Heldout,
    Identifications,
    Selection,
    SpectralTypeExcess,
)
from dust3d.crossmatch.pairs import Pairs, Sky, match
from dust3d.crossmatch.report import agreement, chance_rate, known_scores, separation_histogram
from dust3d.errors import TableError
from dust3d.files import write_json
from dust3d.io.aliases import Role
from dust3d.io.ingest import ingest as read_catalogue
from dust3d.io.ingest import read_identifications
from dust3d.io.tables import in_unit, integers, meta, read_table, rows_of, texts, write_table
from dust3d.photometry.dwarf_sequence import read_dwarf_sequence
from dust3d.photometry.excess import colour_excess
from dust3d.provenance import provenance
from dust3d.stars.heldout import choose_heldout
from dust3d.stars.selection import select_stars

logger = logging.getLogger("dust3d")

_FIRST_MAGNITUDES = ("phot_g_mean_mag", "v_mag")
_SECOND_MAGNITUDES = ("phot_hp_mean_mag", "v_mag", "phot_g_mean_mag")


def ingest(
    *, role: Role, output: str | Path, settings: dict[str, Any], seed: int, source: str
) -> None:
    """Read one real catalogue into a star table, every row of it.

    Parameters
    ----------
    role
        `astrometry` or `extinction`.
    output
        Star table to be written.
    settings
        The section `catalogues`, at least its key `role` and, for `extinction`, `excess`.
    seed, source
        For the record: the run's seed, the digest of the source.
    """
    catalogues = settings["catalogues"]
    catalogue = Catalogue.model_validate(catalogues[role])
    table = read_catalogue(catalogue, role)
    if role == "extinction":
        excess = catalogues.get("excess")
        if excess is not None:
            _add_excess(table, SpectralTypeExcess.model_validate(excess), catalogue.path)
        else:
            _need(table, ("extinction", "extinction_error"), catalogue.path)
    origin = provenance(settings=settings, source=source, seed=seed)
    table.meta = {**meta(table), "provenance": origin}
    write_table(output, table)


def _need(table: QTable, names: tuple[str, ...], path: str) -> None:
    for name in names:
        if name not in table.colnames:
            meaning = " (A_V, not E(B-V))" if name == "extinction" else ""
            raise TableError(
                f"{path}: no column {name!r}{meaning} (it has: {', '.join(table.colnames)}); "
                "name it under catalogues.extinction.columns, or set catalogues.excess to derive "
                "extinctions"
            )


def _add_excess(table: QTable, settings: SpectralTypeExcess, path: str) -> None:
    """Add extinction, its error, the class and the reason why there is none."""
    _need(table, ("b_v", "b_v_error", "spectral_type"), path)
    excess = colour_excess(
        texts(table, "spectral_type"),
        in_unit(table, "b_v", "mag"),
        in_unit(table, "b_v_error", "mag"),
        read_dwarf_sequence(settings.sequence),
        settings,
    )
    table["intrinsic_b_v"] = excess.intrinsic_b_v * u.mag
    table["extinction"] = excess.extinction * u.mag
    table["extinction_error"] = excess.error * u.mag
    table["class"] = excess.star_class
    table["type_reason"] = excess.reason


def crossmatch(
    *,
    astrometry: str | Path,
    extinction: str | Path,
    truth_stars: str | Path | None,
    matched: str | Path,
    report: str | Path,
    settings: dict[str, Any],
    seed: int,
    source: str,
) -> None:
    """Pair the two catalogues and report how well that works.

    Parameters
    ----------
    astrometry, extinction
        The two star tables.
    truth_stars
        A mock's true identifications; None for real stars.
    matched
        Table of pairs to be written: `source_id`, `extinction_id`, `separation`, `ambiguous` and
        all other columns; of those that both catalogues have, the second's end in `_2`.
    report
        JSON to be written.
    settings
        The sections `crossmatch` and, for real stars, `catalogues` with `identifications`.
    seed, source
        For the record.

    Raises
    ------
    TableError
        If a table is damaged or no pair is found.
    """
    first, second = read_table(astrometry), read_table(extinction)
    choices = Crossmatch.model_validate(settings["crossmatch"])
    skies = _sky(first, astrometry), _sky(second, extinction)
    _warn_of_unknown_motions(skies, choices)
    pairs = match(*skies, choices)
    if len(pairs.first) == 0:
        raise TableError(
            f"{astrometry}, {extinction}: no pair within {choices.radius_arcsec:g} arcsec among "
            f"{len(first)} and {len(second)} stars; check the epochs ({skies[0].epoch_yr:g} and "
            f"{skies[1].epoch_yr:g}) and proper motions, or raise crossmatch.radius_arcsec"
        )
    table = _paired(first, second, pairs)
    table.meta = {
        "epoch_yr": skies[0].epoch_yr,
        "provenance": provenance(settings=settings, source=source, seed=seed),
    }
    scores = {
        "provenance": table.meta["provenance"],
        "n_astrometry": len(first),
        "n_extinction": len(second),
        "n_pairs": len(table),
        "n_ambiguous": int(pairs.ambiguous.sum()),
        "separation_histogram": separation_histogram(pairs.separation, choices.radius_arcsec),
        "chance": chance_rate(*skies, choices),
        "parallax_agreement": _parallax_agreement(table),
        "magnitude_agreement": _magnitude_agreement(table),
        "known": _known(table, truth_stars, settings.get("catalogues")),
    }
    write_table(matched, table)
    write_json(report, scores)


def _sky(table: QTable, path: str | Path) -> Sky:
    epoch_yr = meta(table).get("epoch_yr")
    if epoch_yr is None:
        raise TableError(f"{path}: meta has no epoch_yr; make the table again")
    ra, dec = in_unit(table, "ra", "deg"), in_unit(table, "dec", "deg")
    pmra, pmdec = in_unit(table, "pmra", "mas / yr"), in_unit(table, "pmdec", "mas / yr")
    return Sky(ra, dec, pmra, pmdec, float(epoch_yr))


def _warn_of_unknown_motions(skies: tuple[Sky, Sky], settings: Crossmatch) -> None:
    years = abs(skies[1].epoch_yr - skies[0].epoch_yr)
    if years == 0 or any(sky.moves.any() for sky in skies):
        return
    widened = settings.radius_arcsec + settings.missing_motion_mas_per_yr * years / 1e3
    logger.warning(
        "neither catalogue has proper motions (pmra, pmdec), and their epochs are %g yr apart: "
        "pairs are searched within %.3g arcsec instead of %g (crossmatch.missing_motion_mas_per_yr "
        "= %g); chance pairs become likely",
        years,
        widened,
        settings.radius_arcsec,
        settings.missing_motion_mas_per_yr,
    )


def _paired(first: QTable, second: QTable, pairs: Pairs) -> QTable:
    table = QTable()
    table["source_id"] = first["source_id"][pairs.first]
    table["extinction_id"] = second["extinction_id"][pairs.second]
    table["separation"] = pairs.separation * u.arcsec
    table["ambiguous"] = pairs.ambiguous
    for name in first.colnames:
        if name not in table.colnames:
            table[name] = first[name][pairs.first]
    for name in second.colnames:
        if name != "extinction_id":
            table[f"{name}_2" if name in table.colnames else name] = second[name][pairs.second]
    return table


def _parallax_agreement(table: QTable) -> dict[str, Any]:
    """Differences of the parallaxes, first minus second: in mas, and in their joint error."""
    difference = in_unit(table, "parallax", "mas") - in_unit(table, "parallax_2", "mas")
    error = np.hypot(
        in_unit(table, "parallax_error", "mas"), in_unit(table, "parallax_error_2", "mas")
    )
    return {"mas": agreement(difference), "sigma": agreement(difference / error)}


def _magnitude_agreement(table: QTable) -> dict[str, Any]:
    first = next((name for name in _FIRST_MAGNITUDES if name in table.colnames), None)
    named = [f"{name}_2" for name in _SECOND_MAGNITUDES] + list(_SECOND_MAGNITUDES)
    second = next((name for name in named if name in table.colnames and name != first), None)
    if first is None or second is None:
        return {"columns": None, "mag": agreement(np.empty(0))}
    difference = in_unit(table, first, "mag") - in_unit(table, second, "mag")
    return {"columns": [first, second], "mag": agreement(difference)}


def _known(
    table: QTable, truth_stars: str | Path | None, catalogues: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Completeness and purity, against a mock's truth or published identifications."""
    found = integers(table, "source_id"), integers(table, "extinction_id")
    if truth_stars is not None:
        truth = read_table(truth_stars, ("source_id", "extinction_id"))
        ids = integers(truth, "source_id"), integers(truth, "extinction_id")
        both = (ids[0] >= 0) & (ids[1] >= 0)
        return known_scores(found, (ids[0][both], ids[1][both]), complete=True)
    identifications = (catalogues or {}).get("identifications")
    if identifications is None:
        return None
    which = Identifications.model_validate(identifications)
    known = read_identifications(which.path, which.astrometry_id, which.extinction_id)
    return known_scores(found, known, complete=False)


def select(
    *,
    matched: str | Path,
    train: str | Path,
    heldout: str | Path,
    report: str | Path,
    settings: dict[str, Any],
    seed: int,
    source: str,
) -> None:
    """Choose stars from the pairs and split off those that no fit sees.

    Parameters
    ----------
    matched
        Table of pairs.
    train, heldout
        Star tables to be written.
    report
        JSON to be written: each cut with what it removed.
    settings
        The sections `box`, `crossmatch`, `selection`, `heldout`.
    seed
        The run's seed.
    source
        For the record.

    Raises
    ------
    TableError
        If too few stars are left.
    """
    pairs = read_table(matched)
    choices = Selection.model_validate(settings["selection"])
    stars, cuts = select_stars(
        pairs,
        choices,
        Box.model_validate(settings["box"]),
        drop_ambiguous=Crossmatch.model_validate(settings["crossmatch"]).drop_ambiguous,
    )
    out = choose_heldout(
        stars["l"].to_value("deg"),
        stars["b"].to_value("deg"),
        Heldout.model_validate(settings["heldout"]),
        seed,
    )
    stars.meta = {
        "epoch_yr": meta(pairs)["epoch_yr"],
        "parallax_zero_point_mas": choices.parallax_zero_point_mas,
        "distance_scale_kpc": choices.distance_scale_kpc,
        "provenance": provenance(settings=settings, source=source, seed=seed),
    }
    write_table(train, rows_of(stars, ~out))
    write_table(heldout, rows_of(stars, out))
    scores = {
        "provenance": stars.meta["provenance"],
        "n_matched": len(pairs),
        "cuts": cuts,
        "n_train": int((~out).sum()),
        "n_heldout": int(out.sum()),
        "classes": dict(Counter(texts(stars, "class").tolist())),
    }
    if "type_reason" in pairs.colnames:
        reasons = Counter(texts(pairs, "type_reason").tolist())
        scores["type_reasons"] = {reason: n for reason, n in reasons.items() if reason}
    write_json(report, scores)
