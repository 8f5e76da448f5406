"""Extinction from spectral type and observed B-V."""

from dataclasses import dataclass

import numpy as np

from dust3d.config.catalogues import SpectralTypeExcess
from dust3d.photometry.dwarf_sequence import DwarfSequence
from dust3d.photometry.spectral_types import class_name, parse_spectral_type


@dataclass(frozen=True)
class Excess:
    """Extinctions of n stars; NaN, with the reason, where they cannot be told.

    Attributes
    ----------
    extinction, error
        A_V = R_V ((B-V) - (B-V)_0) and its standard deviation [mag], shape (n,).
    intrinsic_b_v
        (B-V)_0 [mag], shape (n,).
    star_class
        Class with a zero point of its own; empty where the type is refused.
    reason
        Why there is no extinction; empty where there is one.
    """

    extinction: np.ndarray
    error: np.ndarray
    intrinsic_b_v: np.ndarray
    star_class: np.ndarray
    reason: np.ndarray


def colour_excess(
    spectral_types: np.ndarray,
    b_v: np.ndarray,
    b_v_error: np.ndarray,
    sequence: DwarfSequence,
    settings: SpectralTypeExcess,
) -> Excess:
    """Extinctions from colour excess, negative ones included.

    Parameters
    ----------
    spectral_types
        Free text, shape (n,).
    b_v, b_v_error
        Observed B-V and its error [mag], shape (n,). An error that is not positive marks a colour
        that was not measured.
    sequence
        Intrinsic colours.
    settings
        R_V, accepted classes, scatter of intrinsic colours.

    Returns
    -------
    Extinctions. A range of subtypes adds the standard deviation of a uniform distribution over
    its colours to the error.
    """
    texts, inverse = np.unique(spectral_types, return_inverse=True)
    parsed = [
        parse_spectral_type(str(text), settings.classes, settings.luminosity_classes)
        for text in texts
    ]
    subtype = np.array([kind.subtype for kind in parsed])
    half_range = np.array([kind.half_range for kind in parsed])
    names = np.array(
        [
            "" if kind.reason else class_name(kind.subtype, settings.split_at_subtype)
            for kind in parsed
        ]
    )
    reasons = np.array([kind.reason for kind in parsed], dtype="U40")[inverse]
    bluest, reddest = (
        sequence.intrinsic_b_v(subtype - half_range),
        sequence.intrinsic_b_v(subtype + half_range),
    )
    intrinsic = ((bluest + reddest) / 2)[inverse]
    type_error = (np.abs(reddest - bluest) / np.sqrt(12.0))[inverse]

    measured = np.isfinite(b_v) & (b_v_error > 0)
    reasons[(reasons == "") & ~np.isfinite(intrinsic)] = "beyond the dwarf sequence"
    reasons[(reasons == "") & ~measured] = "no B-V or no error of it"
    usable = reasons == ""
    error = settings.r_v * np.sqrt(b_v_error**2 + type_error**2 + settings.intrinsic_scatter_mag**2)
    return Excess(
        extinction=np.where(usable, settings.r_v * (b_v - intrinsic), np.nan),
        error=np.where(usable, error, np.nan),
        intrinsic_b_v=intrinsic,
        star_class=names[inverse],
        reason=reasons,
    )
