"""Reports in JSON (scores, cross-match): read, and refused if they lack what is needed."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dust3d.errors import ProductError
from dust3d.files import unsealed

# the ceilings that an order sets are missing for fields without one
_SHELLS = ("k_per_kpc", "r", "transfer", "power_truth", "power_fit")


def read_json(path: str | Path, keys: Sequence[str]) -> dict[str, Any]:
    """A JSON object that has the given keys (`a.b` is `b` inside `a`).

    Raises
    ------
    ProductError
        If the file is missing, no JSON, or lacks a key.
    """
    path = Path(path)
    try:
        content = unsealed(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ProductError(f"{path}: no such file; run the step that makes it") from None
    except (ValueError, OSError, RecursionError) as error:
        raise ProductError(
            f"{path}: damaged or not JSON ({error}); delete it and make it again"
        ) from error
    _require(path, content, keys)
    return content


def _require(path: str | Path, content: Any, keys: Sequence[str]) -> None:
    for key in keys:
        inner = content
        for part in key.split("."):
            if not isinstance(inner, dict) or part not in inner:
                raise ProductError(f"{path}: lacks the key `{key}`; delete it and make it again")
            inner = inner[part]


def read_scores(path: str | Path) -> dict[str, Any]:
    """The scores of one fit, `scores/{fit}.json`.

    Raises
    ------
    ProductError
        If the file is missing, damaged, or lacks what the figures draw.
    """
    needed = ["name", "parameters", "heldout.log_predictive_density.mean"]
    scores = read_json(path, needed)
    if scores.get("recovery"):
        shells = [f"recovery.shells.{key}" for key in _SHELLS]
        _require(path, scores, ["recovery.correlation", *shells])
    return scores


def read_likelihood(path: str | Path) -> dict[str, Any]:
    """The section `likelihood` of a fit's summary, `fit.json`: numbers, and one for each class.

    Raises
    ------
    ProductError
        If the file is missing or damaged, or the section holds something else.
    """
    found = read_json(path, ["likelihood"])["likelihood"]
    for key, value in found.items() if isinstance(found, dict) else [("", found)]:
        of_classes = isinstance(value, dict)
        inner = value.values() if of_classes else [value]
        plain = all(isinstance(v, int | float) and math.isfinite(v) for v in inner)
        if not plain or (not of_classes and value < 0):
            raise ProductError(
                f"{path}: `likelihood.{key}` holds {str(value)[:60]!r}, where numbers are needed; "
                "delete it and fit again"
            )
    return found
