"""What a zarr store says of itself, checked before zarr reads a value.

Only the codecs of maps are let through: none of them runs code, and what comes out of a chunk
is known before it is unpacked.
"""

import json
import math
import struct
from pathlib import Path
from typing import Any

from dust3d.io.limits import check_expansion

_METADATA = "zarr.json"
_LARGEST_METADATA = 1 << 24
_BYTES_OF = {
    "bool": 1,
    **{f"{kind}{8 * n}": n for kind in ("int", "uint") for n in (1, 2, 4, 8)},
    "float16": 2,
    "float32": 4,
    "float64": 8,
}
_CODECS = ("bytes", "zstd", "crc32c")
_CHUNKS = 10_000
_ZSTD_MAGIC = 0xFD2FB528


def check_store(path: Path) -> None:
    """Refuse a store that cannot be read safely.

    Parameters
    ----------
    path
        Folder of a zarr group of version 3, whose arrays are folders in it.

    Raises
    ------
    ValueError
        If an array is of a type or packed by a codec that maps do not have, or claims more than
        the store holds.
    """
    arrays = {p.name: p for p in sorted(path.iterdir()) if (p / _METADATA).is_file()}
    _metadata(path)
    claimed = stored = 0
    for name, folder in arrays.items():
        about = _metadata(folder)
        if about.get("node_type") != "array":
            raise ValueError(f"{name} is no array")
        size, chunk, chunks = _sizes(name, about)
        files = [p for p in folder.rglob("*") if p.is_file() and p.name != _METADATA]
        if chunks > _CHUNKS + 10 * len(files):
            raise ValueError(f"{name} claims {chunks:.3g} chunks and has {len(files)}")
        packings = _packings(name, about)
        for file in files:
            if "zstd" in packings:
                _check_frame(file, chunk)
        claimed += size
        stored += sum(p.stat().st_size for p in files)
    check_expansion(claimed, stored)


def _metadata(folder: Path) -> dict[str, Any]:
    path = folder / _METADATA
    if path.stat().st_size > _LARGEST_METADATA:
        raise ValueError(f"{path.name} is too large")
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or found.get("zarr_format") != 3:
        raise ValueError(f"{path} is of no zarr store of version 3")
    return found


def _sizes(name: str, about: dict[str, Any]) -> tuple[int, int, int]:
    """Bytes of an array, bytes of a chunk, number of chunks."""
    grid = about["chunk_grid"]
    shape, chunk = about["shape"], grid["configuration"]["chunk_shape"]
    known = _BYTES_OF.get(str(about["data_type"]))
    if known is None or grid["name"] != "regular" or about.get("storage_transformers"):
        raise ValueError(f"{name} is of type {about['data_type']!r}, which maps do not have")
    if len(shape) != len(chunk) or not all(_is_count(n) for n in (*shape, *chunk)):
        raise ValueError(f"{name} has the shape {shape} in chunks of {chunk}")
    chunks = math.prod(-(-n // m) for n, m in zip(shape, chunk, strict=True))
    return known * math.prod(shape), known * math.prod(chunk), chunks


def _is_count(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number > 0


def _packings(name: str, about: dict[str, Any]) -> list[str]:
    names = [codec["name"] if isinstance(codec, dict) else codec for codec in about["codecs"]]
    for found in names:
        if found not in _CODECS:
            raise ValueError(
                f"{name} is packed by {found!r}, where maps have {', '.join(_CODECS)}; write it "
                "with xarray's defaults"
            )
    return names


def _check_frame(path: Path, chunk_bytes: int) -> None:
    """Refuse a chunk that would unpack to more than its share: zstd packs 30 000 bytes in one."""
    with open(path, "rb") as file:
        start = file.read(18)
    unpacked = _unpacked_bytes(start)
    if unpacked is None or unpacked > chunk_bytes:
        raise ValueError(f"{path.parent.name}/{path.name} is no chunk of {chunk_bytes} bytes")


def _unpacked_bytes(start: bytes) -> int | None:
    """Size of the content by the first bytes of a zstd frame (RFC 8878, section 3.1.1.1)."""
    if len(start) < 6 or struct.unpack("<I", start[:4])[0] != _ZSTD_MAGIC:
        return None
    descriptor = start[4]
    single, flag = descriptor >> 5 & 1, descriptor >> 6
    width = {0: single, 1: 2, 2: 4, 3: 8}[flag]
    place = 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3]
    field = start[place : place + width]
    if not width or len(field) < width:
        return None
    return int.from_bytes(field, "little") + (256 if width == 2 else 0)
