"""The public catalogues, as their archives serve them: CDS / VizieR and the Gaia archive.

Each function asks the network and returns a table or bytes; nothing is written here.
"""

import gzip
import urllib.error
import urllib.request

import numpy as np
from astropy import units as u
from astropy.table import Column, Table, vstack

from dust3d.errors import TableError

HIPPARCOS_URL = "https://cdsarc.cds.unistra.fr/ftp/I/311/hip2.dat.gz"
DWARF_SEQUENCE_URL = "https://www.pas.rochester.edu/~emamajek/EEM_dwarf_UBVIJHK_colors_Teff.txt"
TEMPLATES_URL = "https://raw.githubusercontent.com/gregreen/bayestar/master/data/PScolors.dat"

FAINTEST_G_MAG = 10.7
_GAIA_COLUMNS = {
    "source_id": None,
    "ra": u.deg,
    "dec": u.deg,
    "ref_epoch": u.yr,
    "pmra": u.mas / u.yr,
    "pmdec": u.mas / u.yr,
    "parallax": u.mas,
    "parallax_error": u.mas,
    "phot_g_mean_mag": u.mag,
    "phot_bp_mean_mag": u.mag,
    "phot_rp_mean_mag": u.mag,
}
_PIECES = 12
_IDS_IN_PIECE = 2**59
"""A source_id is the star's HEALPix pixel of level 12 times 2^35: this many share one of the
twelve pixels of level 0."""
_TIMEOUT_S = 120


def _failed(what: str, error: Exception) -> TableError:
    return TableError(
        f"{what} cannot be fetched ({type(error).__name__}: {error}); try again later, or put the "
        "files into a folder and name it with DUST3D_DATA"
    )


def fetch_file(url: str) -> bytes:
    """A file of the web.

    Raises
    ------
    TableError
        If it cannot be fetched or is empty.
    """
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            content = answer.read()
    except (urllib.error.URLError, OSError) as error:
        raise _failed(url, error) from error
    if not content:
        raise _failed(url, ValueError("the answer is empty"))
    return content


def fetch_gzipped(url: str) -> bytes:
    """A gzipped file of the web, checked to be whole.

    Raises
    ------
    TableError
        If it cannot be fetched or is truncated.
    """
    content = fetch_file(url)
    try:
        gzip.decompress(content)
    except (OSError, EOFError) as error:
        raise _failed(url, error) from error
    return content


def _gaia_query(query: str) -> Table:
    from astroquery.gaia import Gaia

    try:
        # without it the archive cuts answers off at 2000 rows
        Gaia.ROW_LIMIT = -1
        table = Table(Gaia.launch_job_async(query).get_results(), copy=False)
    # the clients raise whatever the network gives them
    except Exception as error:
        raise _failed("the Gaia archive's answer", error) from error
    # newer clients write SOURCE_ID
    table.rename_columns(table.colnames, [name.lower() for name in table.colnames])
    if len(table) == 0:
        raise _failed("the Gaia archive's answer", ValueError(f"no rows for: {query}"))
    return table


def gaia_bright_stars() -> Table:
    """Gaia DR3 stars brighter than G = 10.7 over the whole sky, in twelve pieces.

    Returns
    -------
    Columns of the Gaia archive with units, sorted by `source_id`.

    Raises
    ------
    TableError
        If the archive does not answer or returns nothing.
    """
    pieces = []
    for piece in range(_PIECES):
        low, high = piece * _IDS_IN_PIECE, (piece + 1) * _IDS_IN_PIECE - 1
        found = _gaia_query(
            f"SELECT {', '.join(_GAIA_COLUMNS)} FROM gaiadr3.gaia_source "
            f"WHERE source_id BETWEEN {low} AND {high} AND phot_g_mean_mag < {FAINTEST_G_MAG}"
        )
        pieces.append(_plain(found))
    table = vstack(pieces, metadata_conflicts="silent")
    table.sort("source_id")
    return table


def _plain(answer: Table) -> Table:
    """Our columns alone: int64 ids, float64 with units, NaN where missing."""
    table = Table()
    for name, unit in _GAIA_COLUMNS.items():
        column = answer[name]
        if name == "source_id":
            table[name] = np.asarray(column, dtype=np.int64)
            continue
        values = column.astype(np.float64)
        values = values.filled(np.nan) if hasattr(values, "filled") else values
        table[name] = Column(np.asarray(values), unit=unit)
    return table


def hipparcos_identifications() -> Table:
    """The Gaia archive's Hipparcos identifications.

    Returns
    -------
    Columns `hip` and `source_id`.

    Raises
    ------
    TableError
        If the archive does not answer or returns nothing.
    """
    answer = _gaia_query(
        "SELECT source_id, original_ext_source_id FROM gaiadr3.hipparcos2_best_neighbour"
    )
    return Table(
        {
            "hip": np.asarray(answer["original_ext_source_id"], dtype=np.int64),
            "source_id": np.asarray(answer["source_id"], dtype=np.int64),
        }
    )


def hipparcos_spectral_types() -> Table:
    """Spectral types of the Hipparcos catalogue (CDS I/239).

    Returns
    -------
    Columns `hip` and `sptype`; stars without a type are left out.

    Raises
    ------
    TableError
        If VizieR does not answer or returns nothing.
    """
    from astroquery.vizier import Vizier

    try:
        answer = Vizier(columns=["HIP", "SpType"], row_limit=-1).get_catalogs("I/239/hip_main")[0]
    except Exception as error:
        raise _failed("VizieR's answer for I/239/hip_main", error) from error
    text = answer["SpType"]
    types = np.asarray(text.filled("") if hasattr(text, "filled") else text).astype(str)
    types = np.char.replace(np.char.strip(types), " ", "")
    known = types != ""
    return Table({"hip": np.asarray(answer["HIP"], dtype=np.int64)[known], "sptype": types[known]})
