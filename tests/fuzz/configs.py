"""Configurations that are wrong in one place, and files that only look like one."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ABSURD: tuple[Any, ...] = (
    -1,
    0,
    1e300,
    -1e300,
    float("nan"),
    float("inf"),
    10**400,
    10**9,
    "",
    "a\x00b",
    "x" * 10_000,
    None,
    True,
    [],
    {},
    [[[[]]]],
    {"kind": "none"},
    [10**9, 10**9, 10**9],
    [1e300, 1e300, 1e300],
    "../../../elsewhere",
    "2020-99-99",
)


def _leaves(content: Any, path: tuple = ()) -> Iterator[tuple]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield (*path, key)
            yield from _leaves(value, (*path, key))
    elif isinstance(content, list):
        for i, value in enumerate(content):
            yield from _leaves(value, (*path, i))


def _replaced(content: Any, path: tuple, value: Any) -> Any:
    content = copy.deepcopy(content)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return content


def absurd(good: Path, into: Path, number: int, seed: int) -> Iterator[tuple[str, Path]]:
    """Copies in which one key holds something that it should not; some may be right."""
    content = yaml.safe_load(good.read_text())
    paths = list(_leaves(content))
    generator = np.random.default_rng([seed, *good.name.encode()])
    chosen = generator.choice(len(paths) * len(ABSURD), number, replace=False)
    for i, pick in enumerate(sorted(chosen.tolist())):
        path, value = paths[pick // len(ABSURD)], ABSURD[pick % len(ABSURD)]
        place = into / f"{good.stem}-absurd{i}" / good.name
        place.parent.mkdir(parents=True)
        place.write_text(yaml.safe_dump(_replaced(content, path, value)))
        yield f"{'.'.join(map(str, path))} = {str(value)[:20]}", place


def _laughs(merge: bool) -> str:
    """Aliases of aliases: each line ten times the one before."""
    lines = ["a0: &a0 {k: v}" if merge else "a0: &a0 [x]"]
    for i in range(1, 40):
        aliases = ", ".join([f"*a{i - 1}"] * 10)
        lines.append(f"a{i}: &a{i} {{<<: [{aliases}]}}" if merge else f"a{i}: &a{i} [{aliases}]")
    return "\n".join(lines)


TEXTS: dict[str, bytes] = {
    "ten times ten times ten": _laughs(merge=False).encode(),
    "merged ten times ten times": _laughs(merge=True).encode(),
    "brackets without end": b"run: " + b"[" * 100_000,
    "braces without end": b"{a: " * 50_000,
    "blocks without end": b"".join(b" " * i + b"a:\n" for i in range(400)),
    "itself": b"box: &b {half_widths_kpc: *b}",
    "a list": b"[1, 2, 3]",
    "a word": b"run",
    "nothing but a comment": b"# nothing",
    "two documents": b"run: a\n---\nrun: b\n",
    "a date that is none": b"run: 2020-99-99",
    "an integer that is none": b"seed: !!int abc",
    "a float that is none": b"seed: !!float abc",
    "digits without end": b"seed: " + b"9" * 10_000,
    "a Python object": b"run: !!python/object/apply:os.system ['true']",
    "a Python name": b"run: !!python/name:os.system",
    "a tag of nobody": b"run: !mine 1",
    "a list as key": b"? [1, 2]\n: 3",
    "an anchor that is none": b"run: *nobody",
    "tabs": b"run:\n\t- a",
    "Latin letters": "run: d\xe9mo".encode("latin-1"),
    "NUL": b"run: \x00demo",
    "a million lines": b"a: b\n" * 1_000_000,
    "binary that is none": b"run: !!binary '*'",
    "a set": b"run: !!set {a, b}",
    "pairs": b"run: !!pairs [a: b]",
    "percent": b"%YAML 9.9\n---\nrun: a",
}
"""None of these is a configuration."""


def texts(into: Path) -> Iterator[tuple[str, Path]]:
    """Files that hold them."""
    for i, (name, content) in enumerate(TEXTS.items()):
        place = into / f"text{i}" / "config.yaml"
        place.parent.mkdir(parents=True)
        place.write_bytes(content)
        yield name, place
