"""Damage to files that needs no knowledge of their format, by seeded generators."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

Damage = Callable[[Path, np.random.Generator], None]


def truncated(path: Path, generator: np.random.Generator) -> None:
    """Cut anywhere."""
    content = path.read_bytes()
    path.write_bytes(content[: generator.integers(1, len(content))])


def shortened(path: Path, generator: np.random.Generator) -> None:
    """Cut near its end."""
    content = path.read_bytes()
    path.write_bytes(content[: -generator.integers(2, 40)])


def flipped(path: Path, generator: np.random.Generator) -> None:
    """One byte is another one."""
    content = bytearray(path.read_bytes())
    content[generator.integers(len(content))] ^= 1 << int(generator.integers(8))
    path.write_bytes(content)


def scrambled(path: Path, generator: np.random.Generator) -> None:
    """A stretch of 64 bytes is noise."""
    content = bytearray(path.read_bytes())
    start = int(generator.integers(len(content)))
    content[start : start + 64] = generator.bytes(len(content[start : start + 64]))
    path.write_bytes(content)


def zeroed(path: Path, generator: np.random.Generator) -> None:
    """A stretch of 256 bytes is NUL, as where a block was never written."""
    content = bytearray(path.read_bytes())
    start = int(generator.integers(len(content)))
    content[start : start + 256] = bytes(len(content[start : start + 256]))
    path.write_bytes(content)


def emptied(path: Path, _: np.random.Generator) -> None:
    """No byte left."""
    path.write_bytes(b"")


def noise(path: Path, generator: np.random.Generator) -> None:
    """Something else altogether."""
    path.write_bytes(generator.bytes(3000))


def folder(path: Path, _: np.random.Generator) -> None:
    """A folder in its place."""
    path.unlink()
    path.mkdir()


def loop(path: Path, _: np.random.Generator) -> None:
    """A link to itself in its place."""
    path.unlink()
    path.symlink_to(path.name)


def recoded(path: Path, _: np.random.Generator) -> None:
    """Text in UTF-16, as some programs export it."""
    path.write_bytes(path.read_bytes().decode("latin-1").encode("utf-16"))


ANY: dict[Damage, int] = {
    truncated: 3,
    shortened: 1,
    flipped: 3,
    scrambled: 1,
    zeroed: 1,
    emptied: 1,
    noise: 1,
    folder: 1,
    loop: 1,
    recoded: 1,
}
"""Each kind of damage, and how often it is done to each file."""


def copies(good: Path, into: Path, inner: str, seed: int) -> Iterator[tuple[str, Path]]:
    """Name and place of damaged copies of a file, or of a folder in which `inner` is damaged."""
    generator = np.random.default_rng([seed, *good.name.encode(), *inner.encode()])
    for damage, number in ANY.items():
        for i in range(number):
            place = into / f"{damage.__name__}{i}" / good.name
            place.parent.mkdir(parents=True)
            if good.is_dir():
                shutil.copytree(good, place)
            else:
                shutil.copy(good, place)
            damage(place / inner if inner else place, generator)
            yield f"{damage.__name__}{i}", place
