"""The real data: a folder filled from another one, or from the public archives."""

import gzip
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from astropy.table import Table

from dust3d.errors import TableError
from dust3d.files import atomic_path
from dust3d.io import archives

VARIABLE = "DUST3D_DATA"

logger = logging.getLogger("dust3d")


def _write_bytes(content: bytes, path: Path) -> None:
    with atomic_path(path) as aside:
        aside.write_bytes(content)


def _write_fits(table: Table, path: Path) -> None:
    with atomic_path(path) as aside:
        table.write(aside, format="fits")


def _write_csv(table: Table, path: Path) -> None:
    with atomic_path(path) as aside, gzip.open(aside, "wt", newline="\n") as file:
        table.write(file, format="ascii.csv")


DOWNLOADS: dict[str, Callable[[Path], None]] = {
    "gaia/gaia_bright.fits.gz": lambda path: _write_fits(archives.gaia_bright_stars(), path),
    "hipparcos/hip2.dat.gz": lambda path: _write_bytes(
        archives.fetch_gzipped(archives.HIPPARCOS_URL), path
    ),
    "hipparcos/sptypes.csv.gz": lambda path: _write_csv(archives.hipparcos_spectral_types(), path),
    "hipparcos/xmatch_sample.csv.gz": lambda path: _write_csv(
        archives.hipparcos_identifications(), path
    ),
    "physics/EEM_dwarf_UBVIJHK_colors_Teff.txt": lambda path: _write_bytes(
        archives.fetch_file(archives.DWARF_SEQUENCE_URL), path
    ),
    "physics/PScolors.dat": lambda path: _write_bytes(
        archives.fetch_file(archives.TEMPLATES_URL), path
    ),
}
"""Every file of the data folder, and how it is downloaded."""


def fill(folder: str | Path, source: str | Path | None = None) -> list[Path]:
    """Fill the data folder; files that are there already stay as they are.

    Parameters
    ----------
    folder
        The folder to fill, made if it is not there.
    source
        A folder of the same layout, whose files are linked, or copied where links cannot be made.
        None takes the one that the variable `DUST3D_DATA` names; without it the files are
        downloaded.

    Returns
    -------
    The files that were added.

    Raises
    ------
    TableError
        If the source lacks a file, or an archive does not answer.
    StorageError
        If the folder cannot be written.
    """
    folder = Path(folder)
    source = source or os.environ.get(VARIABLE) or None
    origin = Path(source).resolve() if source is not None else None
    if origin == folder.resolve():
        origin = None
    missing = [name for name in DOWNLOADS if not (folder / name).is_file()]
    if origin is not None:
        _check_source(origin, missing)
    for name in missing:
        path = folder / name
        logger.info("%s: from %s", path, origin or "the public archives")
        if origin is not None:
            _link(origin / name, path)
        else:
            DOWNLOADS[name](path)
    return [folder / name for name in missing]


def _check_source(origin: Path, names: list[str]) -> None:
    lacking = [name for name in names if not (origin / name).is_file()]
    if lacking:
        raise TableError(
            f"{origin}: lacks {', '.join(lacking)}; {VARIABLE} must name a folder with these "
            "files, or be unset to download them"
        )


def _link(target: Path, path: Path) -> None:
    with atomic_path(path) as aside:
        try:
            aside.symlink_to(target)
        except OSError:
            shutil.copyfile(target, aside)
