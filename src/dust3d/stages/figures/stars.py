"""Figures of the cross-match and of the stars."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dust3d.io.reports import read_json
from dust3d.io.tables import in_unit, read_table
from dust3d.plots.crossmatch import crossmatch_figure
from dust3d.plots.stars import Stars, star_figure
from dust3d.stages.figures.common import PathLike, marks, save_figures


def star_figures(
    *,
    crossmatch: PathLike,
    train: PathLike,
    heldout: PathLike,
    outputs: Mapping[str, PathLike],
    settings: dict[str, Any],
    seed: int,
    source: str,
    matched: PathLike | None = None,
) -> None:
    """Draw the cross-match and the stars that are used.

    Parameters
    ----------
    crossmatch
        Report of the cross-match, `scores/crossmatch.json`.
    train, heldout
        Tables of the stars.
    outputs
        PNG to be written for each kind: crossmatch, stars.
    settings
        The sections plots and crossmatch.
    seed, source
        For the record: the run's seed, the digest of the source.
    matched
        Table of the pairs, from which the ambiguous ones are drawn apart.

    Raises
    ------
    ProductError
        If the report is missing or damaged, or a figure of that kind does not exist.
    TableError
        If a table is missing or damaged.
    """

    def pairs() -> Any:
        keys = ["separation_histogram.edges_arcsec", "separation_histogram.counts"]
        report = read_json(crossmatch, keys)
        histogram = report["separation_histogram"]
        edges = np.asarray(histogram["edges_arcsec"], dtype=float)
        ambiguous = None
        if matched is not None:
            table = read_table(matched, ["separation", "ambiguous"])
            chosen = np.asarray(table["ambiguous"], dtype=bool)
            ambiguous = np.histogram(in_unit(table, "separation", "arcsec")[chosen], edges)[0]
        return crossmatch_figure(
            edges,
            np.asarray(histogram["counts"]),
            ambiguous=ambiguous,
            radius_arcsec=settings["crossmatch"]["radius_arcsec"],
            chance_pairs=_chance_pairs(report),
            facts=_facts(report),
        )

    def stars() -> Any:
        parts = [read_table(p, ["l", "b", "distance", "extinction"]) for p in (train, heldout)]
        held = [np.full(len(part), i == 1) for i, part in enumerate(parts)]

        def column(name: str, unit: str) -> np.ndarray:
            return np.concatenate([in_unit(part, name, unit) for part in parts])

        found = Stars(
            l_deg=column("l", "deg"),
            b_deg=column("b", "deg"),
            distance_kpc=column("distance", "kpc"),
            extinction_mag=column("extinction", "mag"),
            heldout=np.concatenate(held),
        )
        plots = settings["plots"]
        return star_figure(found, marks=marks(settings), colours=plots["colour_map"])

    draw = {"crossmatch": pairs, "stars": stars}
    save_figures(draw, outputs, title="stars", settings=settings, seed=seed, source=source)


def _chance_pairs(report: dict[str, Any]) -> float | None:
    pairs = (report.get("chance") or {}).get("pairs")
    return float(np.mean(pairs)) if pairs else None


def _facts(report: dict[str, Any]) -> dict[str, str]:
    """Completeness and purity for the legend."""
    facts = {}
    known = report.get("known")
    if known and known.get("n"):
        facts["completeness"] = f"{100 * known['completeness']:.2f} % of {known['n']} known"
        facts["purity"] = f"{100 * known['purity']:.2f} %"
    return facts
