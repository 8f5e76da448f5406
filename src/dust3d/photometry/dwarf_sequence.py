"""The mean dwarf sequence: intrinsic B-V against spectral type (Pecaut & Mamajek 2013)."""

import re
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np

from dust3d.errors import TableError

SPECTRAL_CLASSES = "OBAFGKM"
_TYPE = re.compile(rf"^([{SPECTRAL_CLASSES}])(\d(?:\.\d+)?)V$")


@dataclass(frozen=True)
class DwarfSequence:
    """Intrinsic colours of dwarfs.

    Attributes
    ----------
    subtype
        Spectral subtypes as numbers, O0 = 0, B0 = 10, A0 = 20 ..., rising, shape (n,).
    b_v
        Intrinsic B-V [mag], shape (n,).
    """

    subtype: np.ndarray
    b_v: np.ndarray

    def intrinsic_b_v(self, subtype: np.ndarray) -> np.ndarray:
        """Intrinsic B-V [mag], linear between subtypes; NaN beyond the sequence."""
        return np.interp(subtype, self.subtype, self.b_v, left=np.nan, right=np.nan)


def read_dwarf_sequence(path: str | Path) -> DwarfSequence:
    """Read Mamajek's table as it is published.

    Parameters
    ----------
    path
        `EEM_dwarf_UBVIJHK_colors_Teff.txt`.

    Raises
    ------
    TableError
        If the file is missing, has no header with `#SpT` and `B-V`, or lacks O to F dwarfs.
    """
    path = Path(path)
    if not path.is_file():
        raise TableError(f"{path}: no such file; check catalogues.excess.sequence or `make data`")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    start = next(
        (i for i, line in enumerate(lines) if line.startswith("#SpT") and "B-V" in line), None
    )
    if start is None:
        raise TableError(
            f"{path}: no header line with '#SpT' and 'B-V'; give the table as published"
        )
    column = lines[start].split().index("B-V")
    found: dict[float, float] = {}
    # the notes below the table also begin with types; a comment line parts them from it
    for line in takewhile(lambda line: not line.startswith("#"), lines[start + 1 :]):
        cells = line.split()
        kind = _TYPE.match(cells[0]) if len(cells) > column else None
        colour = _number(cells[column]) if kind else None
        if kind and colour is not None:
            found[10 * SPECTRAL_CLASSES.index(kind[1]) + float(kind[2])] = colour
    subtypes = np.array(sorted(found))
    if len(subtypes) == 0 or subtypes[0] > 10 or subtypes[-1] < 39:
        raise TableError(
            f"{path}: {len(subtypes)} dwarfs with B-V, which do not reach from O to F; the file is "
            "truncated: fetch it again"
        )
    return DwarfSequence(subtypes, np.array([found[subtype] for subtype in subtypes]))


def _number(text: str) -> float | None:
    """A value of the table; dots stand for a missing one."""
    return None if text.strip(".") == "" else float(text.rstrip(":*"))
