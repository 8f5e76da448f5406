"""What the columns of star catalogues are called, and in which units dust3d keeps them.

Names follow the Gaia archive. An alias stands here only if it cannot mean anything else.
"""

import re
from typing import Literal

Role = Literal["astrometry", "extinction"]

ID_COLUMNS: dict[Role, str] = {"astrometry": "source_id", "extinction": "extinction_id"}

UNITS: dict[str, str] = {
    "ra": "deg",
    "dec": "deg",
    "ra_error": "mas",
    "dec_error": "mas",
    "ref_epoch": "yr",
    "pmra": "mas / yr",
    "pmdec": "mas / yr",
    "pmra_error": "mas / yr",
    "pmdec_error": "mas / yr",
    "parallax": "mas",
    "parallax_error": "mas",
    "phot_g_mean_mag": "mag",
    "phot_bp_mean_mag": "mag",
    "phot_rp_mean_mag": "mag",
    "phot_hp_mean_mag": "mag",
    "v_mag": "mag",
    "b_v": "mag",
    "b_v_error": "mag",
    "extinction": "mag",
    "extinction_error": "mag",
}
"""Unit of each quantity in our tables; a catalogue's own unit is converted to it."""

TEXT_COLUMNS = ("class", "spectral_type")

ALIASES: dict[str, tuple[str, ...]] = {
    "ra": ("RA", "RAdeg", "RArad", "RA_ICRS", "RAICRS", "RAJ2000", "_RA", "_RAJ2000", "_RA.icrs"),
    "dec": (
        "DEC",
        "DEdeg",
        "DErad",
        "DE_ICRS",
        "DEICRS",
        "DEJ2000",
        "DECJ2000",
        "_DE",
        "_DEJ2000",
        "_DE.icrs",
    ),
    "ra_error": ("e_RA_ICRS", "e_RAdeg", "e_RArad"),
    "dec_error": ("e_DE_ICRS", "e_DEdeg", "e_DErad"),
    "ref_epoch": (),
    "pmra": ("pmRA", "pm_ra", "pm_ra_cosdec", "pmRAcosDE"),
    "pmdec": ("pmDE", "pmDEC", "pm_dec"),
    "pmra_error": ("e_pmRA",),
    "pmdec_error": ("e_pmDE", "e_pmDEC"),
    "parallax": ("Plx", "plx"),
    "parallax_error": ("e_Plx", "e_plx"),
    "phot_g_mean_mag": ("Gmag",),
    "phot_bp_mean_mag": ("BPmag",),
    "phot_rp_mean_mag": ("RPmag",),
    "phot_hp_mean_mag": ("Hpmag",),
    "v_mag": ("Vmag",),
    "b_v": ("B-V",),
    "b_v_error": ("e_B-V",),
    "spectral_type": ("SpType", "sptype", "sp_type", "spType"),
    "extinction": ("A_V", "AV", "Av", "av", "a_v"),
    "extinction_error": ("e_A_V", "e_AV", "e_Av", "av_error", "a_v_error", "A_V_error"),
    "class": ("star_class",),
}
"""Names under which other catalogues keep our columns."""

ID_ALIASES: dict[Role, tuple[str, ...]] = {
    "astrometry": ("Source", "SOURCE_ID", "GaiaDR3", "gaia_source_id"),
    "extinction": ("HIP", "hip", "id", "ID"),
}

_OTHER_BANDS: dict[str, str] = {
    **dict.fromkeys(("ag", "aggspphot"), "A_G"),
    **dict.fromkeys(("a0", "a550", "azerogspphot"), "A_0 (at 550 nm)"),
    **dict.fromkeys(("ak", "aks"), "A_K"),
    "ar": "A_r",
}
_COLOURS = {"egr": "E(g-r)", "ejk": "E(J-K)", "ejks": "E(J-Ks)", "ehk": "E(H-K)", "evi": "E(V-I)"}
_COLOUR_IN_BRACKETS = re.compile(r"^e_?\([^)]*-[^)]*\)", re.IGNORECASE)
_ERROR_MARKS = re.compile(r"^(e|err|error|sigma|sig|s|u|unc|d)(?=e)")


def normalised(name: str) -> str:
    """Lower case, letters and digits only: `E(B-V)`, `E_B_V` and `ebv` are one name."""
    return re.sub("[^a-z0-9]", "", name.lower())


def other_than_a_v(name: str, *, chosen: bool = True) -> str | None:
    """What a column's name says that it holds, if that is a reddening or another band.

    Parameters
    ----------
    name
        Name of the column in the file.
    chosen
        Whether the configuration takes this column for the extinction or its error. Else names
        that may as well mean something else (`e_B-V`, the error of a colour) pass.

    Returns
    -------
    Such as `E(B-V)`; None if nothing speaks against A_V.
    """
    plain = normalised(name)
    if not chosen and (name.startswith("e_") or ("excess" in plain and "colo" not in plain)):
        return None
    for key in (plain, _ERROR_MARKS.sub("", plain)):
        if key.startswith(("ebprp", "ebpminrp")):
            return "E(BP-RP)"
        if key.startswith(("ebv", "ebmv", "ebminv", "ebminusv")):
            return "E(B-V)"
        if key in _COLOURS:
            return _COLOURS[key]
    if _COLOUR_IN_BRACKETS.match(name) or "reddening" in plain or "excess" in plain:
        return "a reddening (colour excess)"
    return _OTHER_BANDS.get(plain)
