"""Files that appear whole or not at all.

A product is written beside its final path and renamed into place, so that a
killed job, a full disk or an exception leaves nothing that a later run could
take for a finished file.
"""

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dust3d.errors import StorageError

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
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or folder to; rename it on success.

    Raises
    ------
    StorageError
        When the disk is full or the folder cannot be written.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        if path.is_dir():
            remove(path)
        os.replace(aside, path)
    except (OSError, RuntimeError) as error:
        remove(aside)
        # h5py reports a full disk by an OSError without errno or, on closing, a RuntimeError
        full = "No space left" in str(error)
        if getattr(error, "errno", None) in _STORAGE_ERRNOS or full:
            raise _storage_error(path, error) from error
        raise
    except BaseException:
        remove(aside)
        raise


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON with sorted keys; NaN and infinities are refused."""
    with atomic_path(path) as aside:
        aside.write_text(json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")
