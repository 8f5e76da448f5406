"""How well a cross-match works: separations, known pairs, chance, agreement of the two sides."""

from typing import Any

import numpy as np

from dust3d.config.catalogues import Crossmatch
from dust3d.crossmatch.pairs import Sky, match

SHIFT_DEG = 0.1
"""Far beyond any radius of a match, yet where the sky is as crowded."""
_BINS = 40


def separation_histogram(separation_arcsec: np.ndarray, largest_arcsec: float) -> dict[str, Any]:
    """Counts of separations in logarithmic bins from a milliarcsecond; the first starts at 0.

    Parameters
    ----------
    separation_arcsec
        Separations of the accepted pairs, shape (n,).
    largest_arcsec
        Upper edge, raised to the largest separation if there are larger ones.
    """
    highest = max(largest_arcsec, float(separation_arcsec.max(initial=0.0)))
    edges = np.concatenate([[0.0], np.geomspace(min(1e-3, highest / 10), highest, _BINS)])
    counts, _ = np.histogram(separation_arcsec, edges)
    return {"edges_arcsec": edges.tolist(), "counts": counts.tolist()}


def known_scores(
    found: tuple[np.ndarray, np.ndarray], known: tuple[np.ndarray, np.ndarray], *, complete: bool
) -> dict[str, Any]:
    """Completeness and purity against known pairs.

    Parameters
    ----------
    found
        Ids of the accepted pairs in the first and the second catalogue, two arrays (n_pairs,).
    known
        Ids of the known pairs, two arrays (n_known,). A star of the first catalogue may be known
        under several ids of the second (duplicates): each of them is right.
    complete
        Whether every true pair is known. Then a found pair of two unknown stars counts as wrong;
        else it is not judged.

    Returns
    -------
    `n` stars known to be in both catalogues; `n_found` of them paired, rightly or not; `n_judged`
    pairs and `n_right` of those; `completeness` = n_right / n; `purity` = n_right / n_judged.
    """
    right = _in_pairs(found, known)
    judged = right | _place(found[0], known[0])[1] | _place(found[1], known[1])[1]
    if complete:
        judged = np.ones_like(right)
    n = _number_of_stars(known[0])
    paired = _place(known[0], found[0])[1] | _place(known[1], found[1])[1]
    return {
        "n": n,
        "n_found": _number_of_stars(known[0][paired]),
        "n_judged": int(judged.sum()),
        "n_right": int(right.sum()),
        "completeness": float(right.sum() / max(n, 1)),
        "purity": float(right.sum() / max(judged.sum(), 1)),
    }


def _place(ids: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where ids stand among the sorted others, and whether they do; both of the ids' shape."""
    if len(others) == 0:
        return np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
    # sorting is a hundred times faster here than the hash table of np.unique and np.isin
    ordered = np.sort(others)
    place = np.minimum(np.searchsorted(ordered, ids), len(ordered) - 1)
    return place, ordered[place] == ids


def _number_of_stars(ids: np.ndarray) -> int:
    return int((np.diff(np.sort(ids)) != 0).sum()) + min(len(ids), 1)


def _in_pairs(
    pairs: tuple[np.ndarray, np.ndarray], others: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Which pairs of ids are among the others, shape (n_pairs,)."""
    (first, known_first), (second, known_second) = (
        _place(ids, known) for ids, known in zip(pairs, others, strict=True)
    )
    other_first, other_second = (_place(known, known)[0] for known in others)
    # one integer for each pair of places
    n = max(len(others[0]), 1)
    both = _place(first * n + second, other_first * n + other_second)[1]
    return both & known_first & known_second


def chance_rate(first: Sky, second: Sky, settings: Crossmatch) -> dict[str, Any]:
    """How many pairs chance makes: the second catalogue shifted, so that no true pair is left.

    Returns
    -------
    `pairs` of each shifted sky, and `rate`: their mean over the stars of the second catalogue.
    """
    skies = settings.shifted_skies
    angles = [360.0 * (sky + 0.5) / skies for sky in range(skies)]
    pairs = [len(match(first, second.shifted(a, SHIFT_DEG), settings).first) for a in angles]
    rate = float(np.mean(pairs) / max(len(second.ra), 1)) if pairs else None
    return {"skies": skies, "shift_deg": SHIFT_DEG, "pairs": pairs, "rate": rate}


def agreement(difference: np.ndarray) -> dict[str, Any]:
    """Median, robust standard deviation and outliers of differences; NaN ones do not count.

    Parameters
    ----------
    difference
        Of the two catalogues, shape (n,).

    Returns
    -------
    `n` finite ones, `median`, `width` (1.4826 times the median absolute deviation), and
    `outliers`: the share that is more than 5 widths off. Numbers are None if n is 0.
    """
    finite = difference[np.isfinite(difference)]
    if len(finite) == 0:
        return {"n": 0, "median": None, "width": None, "outliers": None}
    median = float(np.median(finite))
    width = float(1.4826 * np.median(np.abs(finite - median)))
    outliers = float(np.mean(np.abs(finite - median) > 5 * width))
    return {"n": len(finite), "median": median, "width": width, "outliers": outliers}
