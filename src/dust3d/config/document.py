"""Writes config/README.md from the models, so that it cannot disagree with them."""

import inspect
from enum import Enum
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from dust3d.config.base import Section
from dust3d.config.run import Config
from dust3d.config.tree import bare, is_section, kind_of, variants

# longest endings first: `_mag_per_kpc` is no `_kpc`
_UNITS = {
    "_mas_per_yr": "mas / yr",
    "_mag_per_kpc": "mag / kpc",
    "_km_per_s": "km / s",
    "_arcsec": "arcsec",
    "_kpc": "kpc",
    "_mag": "mag",
    "_mas": "mas",
    "_deg": "deg",
    "_yr": "yr",
    "_s": "s",
}
_SIGNS = {"gt": "> ", "ge": "≥ ", "lt": "< ", "le": "≤ "}
_NAMES = {float: "number", int: "integer", str: "text", bool: "true or false"}

_INTRODUCTION = """\
# Configuration

*Written by `make docs-config` from the models in `src/dust3d/config`; edit those.*

A run is one complete YAML file:

| file | run |
|---|---|
| `config.yaml` | the demo: a mock sky with a Fourier truth; used when no file is named |
| `test.yaml` | the smallest complete run, for the tests |
| `orders.yaml` | a mock in the plane with its true order among the seven that are fitted |
| `hipparcos.yaml` | real stars: Gaia DR3 and Hipparcos, out to 500 pc |
| `mocks/*.yaml` | the mock suite: five known skies, and the real stars with their twin's settings |
| `sbc.yaml` | is the posterior calibrated? for the target `calibrate` |
| `original.yaml`, `original_sgd.yaml` | the original experiment, with our optimiser and its own |

```bash
snakemake --cores all                                       # the demo
snakemake --cores all --configfile config/hipparcos.yaml    # another run
make report CONFIG=config/hipparcos.yaml                    # the same, and report.html
.venv/bin/dust3d check config/hipparcos.yaml                # only check the file
```

All files of a run go to `results/NAME/`, NAME being its key `run`. A key that is left out takes
the default below; a key that does not exist is refused with the nearest that does. Units stand in
the names of the keys. Lists over axes go x, y(, z). Nested values cannot be given with `--config`
(they would arrive as text): copy a file, change it, name it with `--configfile`.

Changing a key reruns what depends on it and nothing else: an order more adds its fit, a key under
`plots` redraws figures.
"""


def _unit(key: str) -> str:
    for ending, unit in _UNITS.items():
        if key.endswith(ending):
            return unit
    return ""


def _bounds(metadata: list[Any]) -> list[str]:
    found = [
        f"{sign}{getattr(item, name)}"
        for item in metadata
        for name, sign in _SIGNS.items()
        if getattr(item, name, None) is not None
    ]
    least = max([getattr(item, "min_length", None) or 0 for item in metadata], default=0)
    most = [n for item in metadata if (n := getattr(item, "max_length", None)) is not None]
    if most:
        found.append(f"{least} to {min(most)} long")
    elif least:
        found.append("not empty" if least == 1 else f"at least {least} long")
    return found


def _inner_metadata(annotation: Any) -> list[Any]:
    """Bounds of the values inside tuples, dictionaries and options."""
    found = list(getattr(annotation, "__metadata__", ()))
    for field in found[:]:
        if isinstance(field, FieldInfo):
            found += field.metadata
    for argument in get_args(annotation):
        if argument not in (Ellipsis, NoneType) and not isinstance(argument, str):
            found += _inner_metadata(argument)
    return found


def _type(annotation: Any) -> str:
    annotation = bare(annotation)
    options = variants(annotation)
    if options:
        return " or ".join(f"section `{kind_of(o)}`" for o in options)
    if is_section(annotation):
        return "section"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        # logical values as YAML writes them
        return ", ".join(f"`{str(a).lower() if isinstance(a, bool) else a}`" for a in arguments)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"list of {_type(arguments[0])}"
        return f"list of {len(arguments)}: " + ", ".join(_type(a) for a in arguments)
    if origin is dict:
        return f"mapping of {_type(arguments[0])} to {_type(arguments[1])}"
    return _NAMES[annotation]


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Section):
        inside = value.model_dump(exclude_defaults=True)
        return "defaults" if not inside else _plain(inside)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_plain(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_plain(v) for v in value) + "]"
    return str(value.value if isinstance(value, Enum) else value)


def _row(key: str, field: FieldInfo) -> str:
    default = "**required**" if field.is_required() else f"`{_plain(field.default)}`"
    bounds = ", ".join(
        dict.fromkeys(_bounds(field.metadata) + _bounds(_inner_metadata(field.annotation)))
    )
    description = field.description or ("Chooses this form." if key == "kind" else "")
    cells = [f"`{key}`", _type(field.annotation), _unit(key), default, bounds, description]
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def _sections(annotation: Any) -> list[type[Section]]:
    """Sections inside an annotation, through lists and options."""
    annotation = bare(annotation)
    options = variants(annotation)
    if options:
        return options
    if is_section(annotation):
        return [annotation]
    return [s for a in get_args(annotation) if a is not Ellipsis for s in _sections(a)]


def _describe(section: type[Section], path: str, depth: int) -> list[str]:
    kind = kind_of(section)
    title = f"`{path}`" + (f" with `kind: {kind}`" if kind is not None else "")
    lines = [f"{'#' * min(depth, 4)} {title}", "", inspect.cleandoc(section.__doc__ or ""), ""]
    lines += ["| key | type | unit | default | bounds | what |", "|---|---|---|---|---|---|"]
    lines += [_row(key, field) for key, field in section.model_fields.items()]
    lines.append("")
    for key, field in section.model_fields.items():
        many = get_origin(bare(field.annotation)) is tuple
        for inner in _sections(field.annotation):
            lines += _describe(inner, f"{path}.{key}" + ("[]" if many else ""), depth + 1)
    return lines


def readme() -> str:
    """The text of config/README.md."""
    lines = [_INTRODUCTION, "## Top level", ""]
    lines += ["| key | type | unit | default | bounds | what |", "|---|---|---|---|---|---|"]
    lines += [_row(key, field) for key, field in Config.model_fields.items()]
    lines.append("")
    for key, field in Config.model_fields.items():
        for section in _sections(field.annotation):
            lines += _describe(section, key, 2)
    return "\n".join(lines).rstrip() + "\n"
