"""What the columns of star catalogues are called, and in which units dust3d keeps them.

Names follow the Gaia archive. An alias stands here only if it cannot mean anything else.
"""

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

OTHER_EXTINCTIONS: dict[str, str] = {
    **dict.fromkeys(("ebv", "ebmv", "e(b-v)", "e(bv)", "ebminv", "ebv50", "eb-v"), "E(B-V)"),
    **dict.fromkeys(("e(bp-rp)", "ebpminrp_gspphot", "ebpminrp"), "E(BP-RP)"),
    **dict.fromkeys(("ag", "a_g", "ag_gspphot"), "A_G"),
    **dict.fromkeys(("a0", "a_0", "azero_gspphot", "a_550"), "A_0 (at 550 nm)"),
    **dict.fromkeys(("ak", "a_k", "aks", "a_ks"), "A_K"),
    **dict.fromkeys(("ar", "a_r"), "A_r"),
}
"""Lower-case names of reddenings and extinctions in other bands: never taken for A_V."""
