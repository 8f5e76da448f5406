"""Spectral types, intrinsic colours, and extinctions from their excess."""

import numpy as np
import pytest

from dust3d.config.catalogues import SpectralTypeExcess
from dust3d.errors import TableError
from dust3d.photometry.dwarf_sequence import DwarfSequence, read_dwarf_sequence
from dust3d.photometry.excess import colour_excess
from dust3d.photometry.spectral_types import class_name, parse_spectral_type

CLASSES, LUMINOSITIES = ("O", "B", "A", "F"), ("V", "IV")
SEQUENCE = """\
# Some words on A0V stars
#SpT   Teff  logT  B-V    Bt-Vt  #SpT
O9V    33300 4.522 -0.312 ...    O9V
A0V    9700  3.987  0.000  0.013 A0V
A1V    9300  3.968  0.035  0.056 A1V
A5V    8100  3.908 ...     0.185 A5V
F9V    6050  3.782  0.560  0.587 F9V
G0V    5930  3.773  0.595: 0.650 G0V
#SpT   Teff  logT  B-V    Bt-Vt  #SpT
A0V is discussed at length below -9.9
"""


def parsed(text: str):
    return parse_spectral_type(text, CLASSES, LUMINOSITIES)


@pytest.mark.parametrize(
    ("text", "subtype"),
    [
        ("A0V", 20),
        ("F5IV", 35),
        ("B9.5V", 19.5),
        ("O9V", 9),
        ("A3IV/V", 23),
        ("A2IV-V", 22),
        ("A0Vn", 20),
        ("B3V(n)", 13),
        ("F2Vs", 32),
        ("A1Van", 21),
        ("F3/5V", 34),
        ("A0/1V", 20.5),
        ("B9.5/A0V", 19.75),
        ("A9/F0IV/V", 29.5),
        ("F8/G0V", 39),
        ("A8-A7V", 27.5),
        (" A0 V", 20),
    ],
)
def test_plain_dwarfs_and_subgiants_are_understood(text, subtype):
    kind = parsed(text)
    assert (kind.subtype, kind.reason) == (subtype, "")


def test_a_range_says_how_wide_it_is():
    assert parsed("F3/5V").half_range == 1.0
    assert parsed("F3V").half_range == 0.0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no spectral type"),
        ("sdF8", "no MK class"),
        ("kA1hA2mA3", "no MK class"),
        ("DA", "no MK class"),
        ("K0V", "class K"),
        ("G2V", "class G"),
        ("A0III", "giant"),
        ("A0III/IV", "giant"),
        ("F2III-IV", "giant"),
        ("B1Ib", "giant"),
        ("B8II", "giant"),
        ("A2Ia", "giant"),
        ("B9Ib/II", "giant"),
        ("B2Ve", "emission"),
        ("B9IV/V(e)", "emission"),
        ("O6V((f))", "emission"),
        ("A1IV_sh", "shell"),
        ("B1Ve_shell", "shell"),
        ("A3Vp", "peculiar"),
        ("A5V(m)", "peculiar"),
        ("ApSi", "peculiar"),
        ("A1mA5-F0", "peculiar"),
        ("B9VpHgMn", "peculiar"),
        ("F6VFe-0.4", "peculiar"),
        ("F6Vw", "peculiar"),
        ("A0V_lB", "peculiar"),
        ("Fm_dD", "peculiar"),
        ("F2IVpEuBa", "peculiar"),
        ("A3V+K1IV", "composite"),
        ("F0V+", "composite"),
        ("B8V:", "uncertain"),
        ("F6V?", "uncertain"),
        ("A0(V)", "uncertain"),
        ("A(3)V", "uncertain"),
        ("A0", "no luminosity class"),
        ("F", "no luminosity class"),
        ("B9/A0", "no luminosity class"),
        ("F2/5V", "range of subtypes"),
        ("F5/8V", "range of subtypes"),
        ("A0Vv", "not understood"),
    ],
)
def test_other_types_are_refused_with_the_reason(text, reason):
    kind = parsed(text)
    assert kind.reason == reason
    assert np.isnan(kind.subtype)


def test_luminosity_classes_are_chosen_in_the_configuration():
    assert parse_spectral_type("A0IV/V", CLASSES, ("V",)).reason == "luminosity class IV"
    assert parse_spectral_type("A0V", CLASSES, ("V",)).reason == ""


def test_names_of_classes():
    assert class_name(20.0, 5) == "A0-4"
    assert class_name(24.5, 5) == "A0-4"
    assert class_name(25.0, 5) == "A5-9"
    assert class_name(19.75, 5) == "B5-9"
    assert class_name(39.0, None) == "F"


def test_the_sequence_skips_gaps_and_notes(tmp_path):
    path = tmp_path / "sequence.txt"
    path.write_text(SEQUENCE)
    sequence = read_dwarf_sequence(path)
    assert sequence.subtype.tolist() == [9, 20, 21, 39, 40]
    np.testing.assert_allclose(sequence.intrinsic_b_v(np.array([20.0, 20.5])), [0.0, 0.0175])
    assert np.isnan(sequence.intrinsic_b_v(np.array([3.0])))[0]


def test_a_damaged_sequence_is_refused(tmp_path):
    path = tmp_path / "sequence.txt"
    with pytest.raises(TableError, match="no such file"):
        read_dwarf_sequence(path)
    path.write_text(SEQUENCE[: SEQUENCE.index("F9V")])
    with pytest.raises(TableError, match="do not reach from O to F; the file is truncated"):
        read_dwarf_sequence(path)
    path.write_text("nothing\n")
    with pytest.raises(TableError, match="no header line"):
        read_dwarf_sequence(path)


def test_extinction_is_r_v_times_the_excess_whatever_its_sign():
    sequence = DwarfSequence(np.array([0.0, 20.0, 40.0]), np.array([-0.4, 0.0, 0.6]))
    settings = SpectralTypeExcess(sequence="-", intrinsic_scatter_mag=0.03)
    types = np.array(["A0V", "A0V", "A0/2V", "A0III", "A0V", "A0V"])
    b_v = np.array([0.1, -0.05, 0.13, 0.1, np.nan, 0.1])
    error = np.array([0.04, 0.04, 0.04, 0.04, 0.04, 0.0])
    excess = colour_excess(types, b_v, error, sequence, settings)
    np.testing.assert_allclose(excess.extinction[:3], [0.31, -0.155, 3.1 * 0.1])
    np.testing.assert_allclose(excess.error[:2], 3.1 * 0.05)
    # A0 to A2 spans 0.06 mag in B-V: a uniform spread over it
    np.testing.assert_allclose(excess.error[2], 3.1 * np.sqrt(0.05**2 + 0.06**2 / 12))
    assert np.isnan(excess.extinction[3:]).all()
    assert excess.reason.tolist() == [
        "",
        "",
        "",
        "giant",
        "no B-V or no error of it",
        "no B-V or no error of it",
    ]
    assert excess.star_class.tolist() == ["A0-4"] * 3 + [""] + ["A0-4"] * 2


def test_the_published_sequence(data_folder):
    sequence = read_dwarf_sequence(data_folder / "physics/EEM_dwarf_UBVIJHK_colors_Teff.txt")
    np.testing.assert_allclose(
        sequence.intrinsic_b_v(np.array([3.0, 19.5, 20.0, 35.0, 42.0])),
        [-0.330, -0.050, 0.0, 0.440, 0.650],
    )
