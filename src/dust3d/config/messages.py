"""What is wrong with a configuration, in the words of its keys."""

import re
from typing import Any

from pydantic import ValidationError

from dust3d.config.base import Section
from dust3d.config.tree import keys_at, nearest, section_at

_NUMBERS = ("float_parsing", "int_parsing")
_PLAIN = {
    "float_parsing": "this is no number",
    "float_type": "this is no number; give one",
    "int_parsing": "this is no whole number",
    "int_type": "this is no whole number; give one",
    "int_from_float": "this is no whole number; give one",
    "tuple_type": "this is no list; give one in brackets, [..., ...]",
    "string_pattern_mismatch": "use letters, digits, `_`, `.` and `-` only, a letter or a digit "
    "first, and no blanks",
}


def _where(model: type[Section], location: tuple[str | int, ...]) -> str:
    text = ""
    for part in keys_at(model, location):
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _known_keys(model: type[Section], location: tuple[str | int, ...]) -> list[str]:
    """Keys that the section around a location knows."""
    section = section_at(model, location[:-1])
    return sorted(section.model_fields) if section is not None else []


def _sentence(model: type[Section], item: Any) -> str:
    """What is wrong and what to do, from one of pydantic's errors."""
    kind, given = item["type"], item.get("input")
    if kind == "extra_forbidden":
        known = _known_keys(model, item["loc"])
        return "unknown key" + (nearest(str(item["loc"][-1]), known) if known else "")
    if kind == "missing":
        return "missing; it has no default"
    if kind == "union_tag_not_found":
        return "its key `kind` is missing; it chooses the form of this section"
    if kind == "union_tag_invalid":
        return f"kind: {item['ctx']['tag']!r} is none of {item['ctx']['expected_tags']}"
    if kind == "invalid_key":
        return f"the key {given!r} is no text; quote it (YAML reads on, off, yes and no as logical)"
    message = _PLAIN.get(kind) or re.sub(r"^Value error, ", "", item["msg"])
    if kind == "too_short":
        found, wanted = item["ctx"]["actual_length"], item["ctx"]["min_length"]
        has = f"has {found} of" if found else "is empty and needs"
        message = f"{has} at least {wanted} item{'s' if wanted > 1 else ''}; add what is missing"
    if kind in _NUMBERS and isinstance(given, str) and re.match(r"\s*[-+]?\.?\d", given):
        message = f"{message}: give the number alone, its unit is part of the key's name"
    plain = isinstance(given, str | int | float | bool)
    return message + (f" (given: {given!r})" if plain else "")


def explain(model: type[Section], error: ValidationError, origin: str) -> str:
    """All that is wrong, a line for each key, and where keys are described."""
    # a check across sections has no place of its own and names its keys itself
    lines = [
        ": ".join(part for part in (_where(model, item["loc"]), _sentence(model, item)) if part)
        for item in error.errors()
    ]
    listing = "\n  ".join(lines)
    return f"{origin}: the configuration cannot be used:\n  {listing}\nSee config/README.md."
