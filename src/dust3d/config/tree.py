"""Walks through the models of the configuration along the keys of a file."""

import difflib
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from dust3d.config.base import Section

_UNIONS = (Union, types.UnionType)


def bare(annotation: Any) -> Any:
    """An annotation without its metadata and without None."""
    if get_origin(annotation) is Annotated:
        return bare(get_args(annotation)[0])
    if get_origin(annotation) in _UNIONS:
        options = [a for a in get_args(annotation) if a is not type(None)]
        if len(options) == 1:
            return bare(options[0])
    return annotation


def is_section(annotation: Any) -> bool:
    """Whether an annotation is a section of the configuration."""
    return isinstance(annotation, type) and issubclass(annotation, Section)


def variants(annotation: Any) -> list[type[Section]]:
    """The sections among which the key `kind` chooses; empty for anything else."""
    annotation = bare(annotation)
    if get_origin(annotation) in _UNIONS:
        options = [bare(a) for a in get_args(annotation)]
        if all(is_section(a) for a in options):
            return options
    return []


def kind_of(section: type[Section]) -> str | None:
    """The value of `kind` that chooses a section, if it has one."""
    field = section.model_fields.get("kind")
    if field is None or get_origin(field.annotation) is not Literal:
        return None
    return get_args(field.annotation)[0]


def _step(annotation: Any, part: str | int) -> tuple[Any, bool]:
    """What lies at one part of a location, and whether the part is a key of the file."""
    annotation = bare(annotation)
    for option in variants(annotation):
        if kind_of(option) == part:
            return option, False
    if is_section(annotation):
        field = annotation.model_fields.get(str(part))
        return (field.annotation if field is not None else None), True
    arguments = get_args(annotation)
    if get_origin(annotation) is tuple and isinstance(part, int):
        variadic = len(arguments) == 2 and arguments[1] is Ellipsis
        return arguments[0 if variadic else min(part, len(arguments) - 1)], True
    if get_origin(annotation) is dict:
        return arguments[1], True
    return None, True


def keys_at(model: type[Section], location: Sequence[str | int]) -> list[str | int]:
    """The part of an error's location that stands in the file (without tags of unions)."""
    annotation: Any = model
    keys = []
    for part in location:
        annotation, is_key = _step(annotation, part)
        if is_key:
            keys.append(part)
    return keys


def section_at(model: type[Section], location: Sequence[str | int]) -> type[Section] | None:
    """The section at an error's location, or None if something else stands there."""
    annotation: Any = model
    for part in location:
        annotation, _ = _step(annotation, part)
    annotation = bare(annotation)
    return annotation if is_section(annotation) else None


def nearest(name: str, known: Sequence[str]) -> str:
    """What to say of an unknown name: the known one that was meant, else all of them."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else f"; known here: {', '.join(known)}"
