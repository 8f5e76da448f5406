"""Files that appear whole or not at all.

A product is written beside its final path and renamed into place, so that a
killed job, a full disk or an exception leaves nothing that a later run could
take for a finished file.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from dust3d.claims import abandoned, claim
from dust3d.errors import StorageError

_SEAL = "sha256"
_STORAGE_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


def remove(path: Path) -> None:
    """Remove a file or a folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _storage_error(path: Path, error: OSError | RuntimeError) -> StorageError:
    free = shutil.disk_usage(path.parent).free / 1e6 if path.parent.exists() else 0.0
    reason = getattr(error, "strerror", None) or error
    return StorageError(
        f"{path}: cannot be written ({reason}); {free:.0f} MB are free there. "
        "Nothing was left behind. Make room or choose another folder, then run again."
    )


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A name beside `path`, without what processes that were killed left for the same path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with claim(path.parent, path.name) as mark:
        for left in abandoned(path.parent, path.name):
            remove(left)
        aside = path.parent / f"{mark}.part{path.suffix}"
        try:
            yield aside
        except BaseException:
            remove(aside)
            raise


def _flush(path: Path) -> None:
    """Have the system write a file out: renamed before that, it could be empty after a crash."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def atomic_path(path: str | Path, keep: Path | None = None) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or folder to; rename it on success.

    Parameters
    ----------
    path
        Where it goes.
    keep
        Where the file goes that stood there before, once the new one is safe from a crash of the
        machine; none: it is replaced.

    Raises
    ------
    StorageError
        When the disk is full or the folder cannot be written.
    """
    path = Path(path)
    try:
        with _aside(path) as aside:
            yield aside
            if path.is_dir():
                remove(path)
            if keep is not None:
                _flush(aside)
                # there may be none, or another process may be doing the same
                with suppress(FileNotFoundError):
                    os.replace(path, keep)
            os.replace(aside, path)
    except (OSError, RuntimeError) as error:
        # h5py reports a full disk by an OSError without errno or, on closing, a RuntimeError
        full = "No space left" in str(error)
        if getattr(error, "errno", None) in _STORAGE_ERRNOS or full:
            raise _storage_error(path, error) from error
        raise


@contextmanager
def scratch_folder(folder: str | Path, name: str) -> Iterator[Path]:
    """A folder inside another that is gone after this block.

    Those of processes that were killed go as well: of the same folder and name.

    Raises
    ------
    StorageError
        When the disk is full or the folder cannot be written.
    """
    folder = Path(folder)
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            mark = stack.enter_context(claim(folder, name))
            for left in abandoned(folder, name):
                remove(left)
            own = folder / f"{mark}.scratch"
            own.mkdir()
        except OSError as error:
            raise _storage_error(folder, error) from error
        stack.callback(remove, own)
        yield own


def _digest(content: Any) -> str:
    """SHA-256 of JSON-able content, independent of the order of keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON with sorted keys; NaN and infinities are refused.

    A mapping gets a further key `sha256`, the checksum of the others.
    """
    if isinstance(content, dict):
        # keys as JSON has them: texts
        plain = json.loads(json.dumps(content, allow_nan=False))
        content = plain | {_SEAL: _digest(plain)}
    with atomic_path(path) as aside:
        aside.write_text(json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def unsealed(content: Any) -> Any:
    """What `write_json` was given, without the checksum; content that has none is left as it is.

    Raises
    ------
    ValueError
        If the content is not what was written.
    """
    if not isinstance(content, dict) or _SEAL not in content:
        return content
    plain = {key: value for key, value in content.items() if key != _SEAL}
    if _digest(plain) != content[_SEAL]:
        raise ValueError("its content is not what was written: the checksum in it differs")
    return plain
