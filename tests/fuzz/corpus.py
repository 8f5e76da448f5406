"""All damaged inputs, with what may become of each."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
from tests.fuzz import bombs, configs, damage, products, tables

SEED = 20
Expected = Literal["refused", "sound", "unsealed", "any"]


@dataclass(frozen=True)
class Case:
    """A damaged input.

    Parameters
    ----------
    name
        What was done.
    kind
        The reader.
    path
        What it is given.
    expected
        `refused`: with a message of ours. `sound`: refused, or read as the whole input is.
        `unsealed`: a format without a checksum; refused, or the rows that are left, with the cells
        that the damage changed. `any`: refused, or accepted as it is.
    good
        The whole input.
    about
        What the message must name; none: the file's name.
    """

    name: str
    kind: str
    path: Path
    expected: Expected
    good: Path | None = None
    about: str | None = None


_SEALED = ("stars.fits", "stars.fits.gz", "stars.h5", "stars.csv.gz")
"""Catalogues whose format notices changed bytes."""


def _catalogues(made: Path, into: Path) -> Iterator[Case]:
    for name in products.CATALOGUES:
        good = made / "catalogues" / name
        expected = "sound" if name in _SEALED else "unsealed"
        for what, path in damage.copies(good, into / f"catalogue-{name}", "", SEED):
            yield Case(f"{name} {what}", "catalogue", path, expected, good)
    for number, (what, path, refused) in enumerate(tables.write_all(into)):
        expected = "refused" if refused else "any"
        yield Case(f"table {number} {what}", "catalogue", path, expected)
    for what, path in tables.write_ragged(into):
        yield Case(what, "catalogue", path, "refused")
    for i, (what, (name, make)) in enumerate(bombs.CATALOGUES.items()):
        path = into / f"bomb{i}" / name
        path.parent.mkdir()
        make(path)
        expected = "sound" if what in bombs.HARMLESS else "refused"
        yield Case(f"bomb {what}", "catalogue", path, expected, made / "catalogues" / name)


def _configurations(made: Path, into: Path) -> Iterator[Case]:
    good = made / "config.yaml"
    for what, path in damage.copies(good, into / "config", "", SEED):
        yield Case(f"config {what}", "configuration", path, "any")
    for name in ("config.yaml", "real.yaml"):
        for what, path in configs.absurd(made / name, into, 60, SEED):
            yield Case(f"{name} {what}", "configuration", path, "any")
    for what, path in configs.texts(into):
        yield Case(f"config {what}", "configuration", path, "refused")


def _products(made: Path, into: Path) -> Iterator[Case]:
    finished = made / "finished"
    for kind, good, inner in (
        ("opened", finished, "field.h5"),
        ("history", finished / "history.h5", ""),
        ("summary", finished / "fit.json", ""),
        ("stars", made / "resume" / "train.h5", ""),
    ):
        for what, path in damage.copies(good, into / kind, inner, SEED):
            yield Case(f"{inner or good.name} {what}", kind, path, "sound", good, inner or None)
    for i, (what, spoil) in enumerate(bombs.FIELDS.items()):
        path = into / f"field{i}" / "fit"
        shutil.copytree(finished, path)
        spoil(path)
        yield Case(f"field {what}", "opened", path, "refused", about="field.h5")


def _maps(made: Path, into: Path) -> Iterator[Case]:
    good = made / "map.zarr"
    chunk = next(p for p in sorted((good / "density" / "c").rglob("*")) if p.is_file())
    for inner in ("zarr.json", "density/zarr.json", str(chunk.relative_to(good))):
        place = into / "maps" / inner.replace("/", "-")
        for what, path in damage.copies(good, place, inner, SEED):
            yield Case(f"map's {inner} {what}", "opened", path, "sound", good)
    for i, (what, spoil) in enumerate(bombs.MAPS.items()):
        path = into / f"map{i}" / "map.zarr"
        shutil.copytree(good, path)
        spoil(path)
        yield Case(f"map {what}", "opened", path, "refused")


def _fits(made: Path, into: Path) -> Iterator[Case]:
    """Fits that go on in a folder of which one file is damaged."""
    good, undisturbed = made / "resume", made / "finished"
    for inner, expected in (
        ("fit/checkpoint.h5", "sound"),
        ("train.h5", "refused"),
        ("lower/field.h5", "refused"),
    ):
        done = 0
        for what, path in damage.copies(good, into / "resume" / inner.replace("/", "-"), inner, 3):
            # a fit takes seconds: one of each kind of damage, of inputs two
            wanted = what in ("truncated0", "flipped0", "zeroed0", "emptied0", "folder0", "loop0")
            if wanted and (expected == "sound" or done < 2):
                done += 1
                about = None if expected == "sound" else Path(inner).name
                yield Case(f"resume {inner} {what}", "resumed", path, expected, undisturbed, about)
    path = into / "resume" / "huge" / "resume"
    shutil.copytree(good, path)
    with h5py.File(path / "fit" / "checkpoint.h5", "a") as file:
        leaf = file["leaves/00000"]
        kind = leaf.dtype
        del file["leaves/00000"]
        file["leaves"].create_dataset("00000", (10**9,), kind, chunks=(1000,))
    yield Case("resume huge checkpoint", "resumed", path, "sound", undisturbed)
    path = into / "resume" / "summary" / "resume"
    shutil.copytree(good, path)
    content = json.loads((path / "lower" / "fit.json").read_text())
    content["likelihood"] = {"zero_points_mag": "none", "floor_mag": None}
    del content["sha256"]
    (path / "lower" / "fit.json").write_text(json.dumps(content))
    yield Case("resume from words", "resumed", path, "refused", about="fit.json")


def corpus(made: Path, into: Path) -> list[Case]:
    """Write all cases below a folder, from the whole inputs in another one."""
    into.mkdir()
    parts = (_fits, _catalogues, _configurations, _products, _maps)
    return [case for part in parts for case in part(made, into)]
