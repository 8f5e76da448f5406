"""Files that claim more than they hold: refused before memory is asked for what they claim."""

import gzip
import io
from pathlib import Path
from typing import Any

SMALL_BYTES = 1 << 26
"""So much may come out of any file."""
LARGEST_EXPANSION = 100
"""No more than this comes out of a byte of a file of measured numbers."""


def check_expansion(claimed_bytes: int, stored_bytes: int) -> None:
    """Refuse content that is too large for the bytes that hold it.

    Raises
    ------
    ValueError
        With both sizes.
    """
    if claimed_bytes > SMALL_BYTES + LARGEST_EXPANSION * stored_bytes:
        raise ValueError(
            f"it claims {claimed_bytes / 1e9:.3g} GB of content, but holds {stored_bytes / 1e6:.3g}"
            " MB of it"
        )


class _Unpacked(io.RawIOBase):
    """What comes out of a gzipped file, as far as that is plausible."""

    def __init__(self, path: Path):
        self._stored = path.stat().st_size
        self._file = gzip.open(path, "rb")

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read, and count what has come out."""
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        check_expansion(self._file.tell(), self._stored)
        return len(content)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place; a later one is reached by reading."""
        if whence == 2:
            # where the end is, only unpacking tells
            while self._file.read(1 << 20):
                check_expansion(self._file.tell(), self._stored)
            return self._file.seek(self._file.tell() + offset)
        target = offset + (self._file.tell() if whence == 1 else 0)
        check_expansion(target, self._stored)
        return self._file.seek(target)

    def tell(self) -> int:
        """The place."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file, too."""
        self._file.close()
        super().close()


_PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x1f\x9d": "compress",
}


def _packing(start: bytes) -> str | None:
    return next((name for mark, name in _PACKED.items() if start.startswith(mark)), None)


def open_bytes(path: Path) -> io.BufferedIOBase:
    """The bytes of a file, unpacked if it is gzipped.

    Raises
    ------
    ValueError
        If it is packed otherwise, or twice; while reading, if more comes out than is plausible.
    """
    file = open(path, "rb")
    packing = _packing(file.read(6))
    file.seek(0)
    if packing == "gzip":
        file.close()
        file = io.BufferedReader(_Unpacked(path), 1 << 20)
        inner = _packing(file.peek(6)[:6])
        packing = f"{inner} inside gzip" if inner else None
    if packing is not None:
        file.close()
        raise ValueError(f"it is packed by {packing}; unpack it, or pack it by gzip alone")
    return file
