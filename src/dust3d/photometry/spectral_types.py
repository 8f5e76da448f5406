"""What a spectral type in free text says, and whether it gives an intrinsic colour.

MK types are written in many ways: `A3V`, `F3/5IV/V`, `B9.5Vn`, `kA1hA2mA3`, `F0V+G`. Only plain
dwarfs and subgiants are understood; every other one is refused with a reason.
"""

import re
from dataclasses import dataclass

from dust3d.photometry.dwarf_sequence import SPECTRAL_CLASSES

LARGEST_RANGE = 2.0
"""Widest range of subtypes that is averaged. MK has no standards at some subtypes (F1, F4), so
that F0/2 and F3/5 are neighbours."""

_SUBTYPE = r"\d(?:\.\d+)?"
_PLAIN = re.compile(
    rf"^(?P<letter>[{SPECTRAL_CLASSES}])(?P<number>{_SUBTYPE})"
    rf"(?:[/-](?P<letter2>[{SPECTRAL_CLASSES}])?(?P<number2>{_SUBTYPE}))?"
    r"(?P<luminosity>(?:IV|V))[abz]?(?:[/-](?P<luminosity2>(?:IV|V))[abz]?)?"
    r"(?:\(?(?:nn|n|s)\)?)*$"
)

_ELEMENTS = r"Si|Sr|Cr|Eu|Hg|Mn|Zr|Ba|Fe|He|Ca|Ti|Ga|CN|CH|Mg|Pt|Xe|Y\b"
# the first that fits is given as the reason: what is wrong with the star comes before what is
# missing in its type
_REASONS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("peculiar", re.compile(rf"{_ELEMENTS}|lB|dD|wl|[pmkhwg]|^[{SPECTRAL_CLASSES}]\d?N")),
    ("emission", re.compile(r"e|f")),
    ("composite", re.compile(r"\+|&")),
    ("uncertain", re.compile(r":|\?|\((?:\d|I|V)")),
    ("giant", re.compile(r"I{2,3}|I[ab/-]|I$|I[^V]")),
    ("no luminosity class", re.compile(rf"^[\d./{SPECTRAL_CLASSES}-]*(?:n|s)*$")),
)


@dataclass(frozen=True)
class SpectralType:
    """A spectral type, understood or refused.

    Attributes
    ----------
    subtype
        As a number, O0 = 0, B0 = 10, A0 = 20 ...; NaN if refused. A range is averaged.
    half_range
        Half of the range of subtypes, 0 for a single one.
    reason
        Why it is refused; empty if it is not.
    """

    subtype: float
    half_range: float
    reason: str


def _refused(reason: str) -> SpectralType:
    return SpectralType(float("nan"), 0.0, reason)


def parse_spectral_type(
    text: str, classes: tuple[str, ...], luminosity_classes: tuple[str, ...]
) -> SpectralType:
    """Understand a spectral type, or say why it is refused.

    Parameters
    ----------
    text
        Free text.
    classes
        Spectral classes to accept.
    luminosity_classes
        Luminosity classes to accept; `IV/V` needs both.

    Returns
    -------
    The type. Broadened or sharp lines (n, s) are accepted: they say nothing of the colour.
    """
    text = text.replace(" ", "").strip("_")
    if not text:
        return _refused("no spectral type")
    if text[0] not in SPECTRAL_CLASSES:
        return _refused("no MK class")
    if text[0] not in classes:
        return _refused(f"class {text[0]}")
    plain = _PLAIN.match(text)
    if plain is None:
        return _refused(_why_not_plain(text))
    return _averaged(plain, luminosity_classes)


def _why_not_plain(text: str) -> str:
    if "sh" in text:
        return "shell"
    for reason, pattern in _REASONS:
        if pattern.search(text):
            return reason
    return "not understood"


def _averaged(plain: re.Match[str], luminosity_classes: tuple[str, ...]) -> SpectralType:
    for luminosity in (plain["luminosity"], plain["luminosity2"]):
        if luminosity and luminosity not in luminosity_classes:
            return _refused(f"luminosity class {luminosity}")
    first = 10 * SPECTRAL_CLASSES.index(plain["letter"]) + float(plain["number"])
    if plain["number2"] is None:
        return SpectralType(first, 0.0, "")
    second = 10 * SPECTRAL_CLASSES.index(plain["letter2"] or plain["letter"]) + float(
        plain["number2"]
    )
    if abs(second - first) > LARGEST_RANGE:
        return _refused("range of subtypes")
    return SpectralType((first + second) / 2, abs(second - first) / 2, "")


def class_name(subtype: float, split_at_subtype: int | None) -> str:
    """Name of the class of stars that shares a zero point: `A`, or `A0-4` and `A5-9`.

    Parameters
    ----------
    subtype
        As a number, O0 = 0, B0 = 10 ...
    split_at_subtype
        First subtype of the late half; none keeps the class whole.
    """
    letter, number = SPECTRAL_CLASSES[int(subtype // 10)], int(subtype % 10)
    if split_at_subtype is None:
        return letter
    if number < split_at_subtype:
        return f"{letter}0-{split_at_subtype - 1}"
    return f"{letter}{split_at_subtype}-9"
