"""Marks beside temporary files that tell whether the process that writes them still lives.

A mark is a file that its process keeps locked. The system unlocks it when the process ends,
however it ends, so that whoever can lock a mark may remove what it stands for. Where a file
system knows no locks, nothing is taken for abandoned.

On some shared file systems a lock holds on one machine only. A mark therefore names its machine,
and those of others are left alone until they are so old that nobody can be at work there.
"""

import fcntl
import glob
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_SUFFIX = ".lock"
_HEX = 8 * "[0-9a-f]"
_TRIALS = 3
_OLD_S = 7 * 24 * 3600


def _lock(path: Path, mode: str) -> IO[bytes] | None:
    """The open and locked mark; none if another process has it, or has removed it."""
    try:
        file = open(path, mode)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
            return file
    except OSError:
        pass
    file.close()
    return None


def _host() -> str:
    """The name of this machine, without dots."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:63] or "unnamed"


def _marked(folder: Path, name: str) -> tuple[str, Path, IO[bytes] | None]:
    mark = f".{name}.{_host()}.{uuid.uuid4().hex[:8]}"
    path = folder / f"{mark}{_SUFFIX}"
    return mark, path, _lock(path, "ab")


@contextmanager
def claim(folder: Path, name: str) -> Iterator[str]:
    """A unique name of hidden files in `folder`, `.NAME.HOST.0f3a...`, ours in this block.

    Temporary files belong to it if their names begin with it.
    """
    mark, path, file = _marked(folder, name)
    for _ in range(_TRIALS):
        if file is not None:
            break
        # another process took the new mark for an old one before it was locked
        mark, path, file = _marked(folder, name)
    file = file or open(path, "ab")
    try:
        yield mark
    finally:
        file.close()
        path.unlink(missing_ok=True)


@contextmanager
def _taken(path: Path) -> Iterator[bool]:
    file = _lock(path, "r+b")
    try:
        yield file is not None
    finally:
        if file is not None:
            path.unlink(missing_ok=True)
            file.close()


def _marks(folder: Path, name: str) -> Iterator[Path]:
    """Marks of a name that this machine can judge: its own, and old ones of others."""
    for path in folder.glob(f".{glob.escape(name)}.*.{_HEX}{_SUFFIX}"):
        host, *rest = path.name.removeprefix(f".{name}.").split(".")
        # what has more parts belongs to a longer name
        if len(rest) == 2 and (host == _host() or _age_s(path) > _OLD_S):
            yield path


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def abandoned(folder: Path, name: str) -> Iterator[Path]:
    """What processes that are dead left under a name in a folder; their marks go afterwards.

    Processes of other machines are taken for dead after a week.
    """
    for path in _marks(folder, name):
        with _taken(path) as dead:
            if dead:
                mark = path.name.removesuffix(_SUFFIX)
                yield from (p for p in folder.glob(f"{glob.escape(mark)}.*") if p != path)
