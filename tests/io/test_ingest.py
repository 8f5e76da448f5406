"""Catalogues of any format and naming become one kind of table; bad ones are told why."""

import gzip

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable, Table

from dust3d.config.catalogues import Catalogue
from dust3d.errors import Dust3dError, TableError, UnitsError
from dust3d.io.ingest import ingest, read_identifications

UNITS = {
    "ra": "deg",
    "dec": "deg",
    "pmra": "mas/yr",
    "pmdec": "mas/yr",
    "parallax": "mas",
    "parallax_error": "mas",
    "phot_g_mean_mag": "mag",
}
LARGE_ID = 2**62 + 12345


def gaia() -> QTable:
    return QTable(
        {
            "source_id": np.array([LARGE_ID, 5, 9], dtype=np.int64),
            "ra": [0.25, 120.0, 359.5] * u.deg,
            "dec": [-89.0, 0.5, 45.0] * u.deg,
            "pmra": [1.0, np.nan, -3.0] * u.mas / u.yr,
            "pmdec": [2.0, np.nan, 4.0] * u.mas / u.yr,
            "parallax": [5.0, -0.3, np.nan] * u.mas,
            "parallax_error": [0.02, 0.5, np.nan] * u.mas,
            "phot_g_mean_mag": [9.0, 10.0, np.nan] * u.mag,
        }
    )


def catalogue(path, **more) -> Catalogue:
    return Catalogue(path=str(path), epoch_yr=2016.0, **more)


def written(table: Table, target, /, **more):
    table.write(target, **more)
    return target


@pytest.mark.parametrize(
    ("name", "options", "units"),
    [
        ("stars.h5", {"path": "stars", "serialize_meta": True}, {}),
        ("gaia.hdf5", {"path": "gaia", "serialize_meta": True}, {}),
        ("stars.fits", {}, {}),
        ("stars.fits.gz", {}, {}),
        ("stars.ecsv", {"format": "ascii.ecsv"}, {}),
        ("stars.csv", {"format": "ascii.csv"}, UNITS),
        ("stars.vot", {"format": "votable"}, {}),
        ("stars.parquet", {"format": "parquet"}, {}),
    ],
)
def test_every_format_gives_the_same_table(tmp_path, name, options, units):
    path = written(gaia(), tmp_path / name, **options)
    table = ingest(catalogue(path, units=units), "astrometry")
    expected = gaia()
    assert table.meta["epoch_yr"] == 2016.0
    for column in expected.colnames:
        np.testing.assert_array_equal(np.asarray(table[column]), np.asarray(expected[column]))
        if column != "source_id":
            assert table[column].unit == expected[column].unit


def test_a_compressed_csv(tmp_path):
    path = tmp_path / "stars.csv.gz"
    with gzip.open(path, "wt") as file:
        gaia().write(file, format="ascii.csv")
    table = ingest(catalogue(path, units=UNITS), "astrometry")
    assert table["source_id"][0] == LARGE_ID


def csv(tmp_path, spoil) -> Catalogue:
    path = written(gaia(), tmp_path / "stars.csv", format="ascii.csv")
    path.write_bytes(spoil(path.read_bytes()))
    return catalogue(path, units=UNITS)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: b"\xef\xbb\xbf# my stars, of today\n#\n\n" + text,
        lambda text: b"\n" + text + b"\n\n",
        lambda text: text.replace(b"\n", b"\r\n"),
    ],
)
def test_csv_files_of_other_programs(tmp_path, spoil):
    table = ingest(csv(tmp_path, spoil), "astrometry")
    assert table["source_id"].tolist() == [LARGE_ID, 5, 9]
    np.testing.assert_array_equal(table["parallax"].value, [5.0, -0.3, np.nan])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text.replace(b",", b";"), "separated by semicolons, not by commas"),
        (lambda text: text.replace(b",", b"\t"), "separated by tabs, not by commas"),
        (lambda text: b"#" + text, "first line that is no comment holds numbers"),
        (lambda text: b"# nothing else\n", r"no rows \(0 rows\)"),
    ],
)
def test_csv_files_without_a_header_between_commas(tmp_path, spoil, message):
    with pytest.raises(TableError, match=rf"stars\.csv: .*{message}"):
        ingest(csv(tmp_path, spoil), "astrometry")


def test_an_ecsv_file_named_csv_keeps_its_units(tmp_path):
    path = written(gaia(), tmp_path / "stars.csv", format="ascii.ecsv")
    assert ingest(catalogue(path), "astrometry")["parallax"].unit == u.mas


def test_a_format_that_the_name_hides_can_be_stated(tmp_path):
    path = written(gaia(), tmp_path / "stars.dat", format="fits")
    with pytest.raises(TableError, match="set `format`"):
        ingest(catalogue(path), "astrometry")
    assert len(ingest(catalogue(path, format="fits"), "astrometry")) == 3


FIXED = (
    "    11 0.0000159148  0.0190068680    4.55  1.29  0.482\n"
    "    12 6.2831853000 -1.5700000000  -20.85  0.95       \n"
)
BYTES = {
    "extinction_id": (1, 6),
    "ra": (8, 19),
    "dec": (20, 33),
    "parallax": (34, 41),
    "parallax_error": (42, 47),
    "b_v": (48, 54),
}
FIXED_UNITS = {"ra": "rad", "dec": "rad", "parallax": "mas", "parallax_error": "mas", "b_v": "mag"}


def fixed(tmp_path, content=FIXED, **more) -> Catalogue:
    path = tmp_path / "old.dat"
    path.write_text(content)
    return catalogue(
        path,
        format="fixed_width",
        byte_columns=BYTES,
        units=FIXED_UNITS | more.pop("units", {}),
        **more,
    )


def test_fixed_width_columns_count_bytes_from_one(tmp_path):
    table = ingest(fixed(tmp_path), "extinction")
    assert table["extinction_id"].tolist() == [11, 12]
    np.testing.assert_allclose(table["ra"].to_value("rad"), [0.0000159148, 6.2831853])
    assert table["ra"].unit == u.deg
    np.testing.assert_array_equal(table["parallax"].to_value("mas"), [4.55, -20.85])
    np.testing.assert_array_equal(table["b_v"].to_value("mag"), [0.482, np.nan])


def test_fixed_width_that_ends_within_a_row(tmp_path):
    with pytest.raises(TableError, match=r"old\.dat: row 2 ends at byte 30 of 54.*truncated"):
        ingest(fixed(tmp_path, FIXED[: 56 + 29]), "extinction")


def test_text_where_numbers_belong_is_quoted(tmp_path):
    with pytest.raises(TableError, match=r"'parallax' should hold numbers.*such as '\*\*\*\*'"):
        ingest(fixed(tmp_path, FIXED.replace("4.55", "****")), "extinction")


def test_a_second_file_is_joined_and_its_text_may_hold_commas(tmp_path):
    (tmp_path / "types.csv").write_text("hip,sptype\n99,K0\n12,C4,5J\n")
    columns = {"extinction_id": "hip", "spectral_type": "sptype"}
    join = {"path": str(tmp_path / "types.csv"), "columns": columns}
    table = ingest(fixed(tmp_path, join=join), "extinction")
    assert table["spectral_type"].tolist() == ["", "C4,5J"]


def test_commas_too_many_in_a_table_of_numbers(tmp_path):
    path = tmp_path / "stars.csv"
    path.write_text("source_id,ra,dec\n1,2.0,3.0\n2,2.0,3,0\n")
    with pytest.raises(TableError, match=r"1 of 2 rows have more than 3 columns.*'2,2\.0,3,0'"):
        ingest(catalogue(path), "astrometry")


def test_a_join_with_repeated_or_foreign_ids(tmp_path):
    join = {"path": str(tmp_path / "types.csv"), "columns": {"extinction_id": "hip"}}
    (tmp_path / "types.csv").write_text("hip,sptype\n12,A0\n12,A1\n")
    with pytest.raises(TableError, match=r"types\.csv: column 'hip'.*2 of 2 rows.*id 12"):
        ingest(fixed(tmp_path, join=join), "extinction")
    (tmp_path / "types.csv").write_text("hip,sptype\n512,A0\n")
    with pytest.raises(TableError, match="none of its 1 ids"):
        ingest(fixed(tmp_path, join=join), "extinction")


def test_names_of_vizier_are_known_and_units_converted(tmp_path):
    table = QTable(
        {
            "HIP": [1, 2],
            "RArad": [1.0, 2.0] * u.rad,
            "DErad": [0.1, -0.1] * u.rad,
            "Plx": [0.005, 0.01] * u.arcsec,
            "e_Plx": [1.0, 1.0] * u.mas,
            "A_V": [0.1, -0.2] * u.mag,
            "Notes": ["a", "b"],
        }
    )
    path = written(table, tmp_path / "hip.fits")
    read = ingest(catalogue(path), "extinction")
    assert read.colnames == [
        "extinction_id",
        "ra",
        "dec",
        "parallax",
        "parallax_error",
        "extinction",
    ]
    np.testing.assert_allclose(read["parallax"].to_value("mas"), [5.0, 10.0])


def test_columns_are_mapped_in_the_configuration(tmp_path):
    table = gaia()
    table.rename_column("parallax", "w")
    table["teff"] = [1.0, 2.0, 3.0] * u.K
    path = written(table, tmp_path / "stars.fits")
    columns = {"parallax": "w", "temperature": "teff"}
    read = ingest(catalogue(path, columns=columns), "astrometry")
    assert read["temperature"].unit == u.K
    with pytest.raises(TableError, match=r"no column 'v', which `columns\.parallax` names"):
        ingest(catalogue(path, columns={"parallax": "v"}), "astrometry")


def change(name, row, value):
    def apply(table: QTable) -> None:
        table[name][row] = value

    return apply


def without_unit(table: QTable) -> None:
    table["parallax"] = table["parallax"].value


def in_kelvin(table: QTable) -> None:
    table["parallax"] = table["parallax"].value * u.K


def without_parallax(table: QTable) -> None:
    table.remove_column("parallax")


def of_another_epoch(table: QTable) -> None:
    table["ref_epoch"] = [2016.0, 2016.0, 2015.5] * u.yr


def without_any_parallax(table: QTable) -> None:
    table["parallax"] = np.full(3, np.nan) * u.mas


def float_ids(table: QTable) -> None:
    table["source_id"] = table["source_id"].astype(float)


def missing_float_id(table: QTable) -> None:
    table["source_id"] = [1.0, np.nan, 2.0]


def two_right_ascensions(table: QTable) -> None:
    table["RAJ2000"] = table["ra"]
    table.rename_column("ra", "RA_ICRS")


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (without_unit, UnitsError, r"'parallax' has no unit.*`units: \{parallax: mas\}`"),
        (in_kelvin, UnitsError, r"'parallax' is in K, where 'parallax' needs mas"),
        (without_parallax, TableError, r"no column 'parallax'.*Plx.*the file has: source_id"),
        (change("ra", 1, np.nan * u.deg), TableError, r"'ra' is NaN.* 1 of 3 rows, the first: 2"),
        (change("ra", 2, 360.5 * u.deg), TableError, r"'ra' is outside 0 to 360 deg in 1 of 3"),
        (change("dec", 0, -91 * u.deg), TableError, r"'dec' is outside -90 to 90 .*first: 1"),
        (change("source_id", 1, 9), TableError, r"'source_id': ids must be unique, but 2 of 3"),
        (change("parallax", 0, np.inf * u.mas), TableError, "a star at the Sun"),
        (change("parallax_error", 0, 0 * u.mas), TableError, "'parallax_error' is not positive"),
        (without_any_parallax, TableError, "'parallax' is NaN in all 3 rows"),
        (of_another_epoch, TableError, r"says 2015\.5 in 1 of 3 .* but `epoch_yr` is 2016"),
        (float_ids, TableError, r"above 2\^53.*1 of 3 rows"),
        (missing_float_id, TableError, r"missing.*1 of 3 rows, the first: 2"),
        (two_right_ascensions, TableError, r"RA_ICRS and RAJ2000 could each be 'ra'"),
    ],
)
def test_bad_contents_are_refused_with_file_column_rows_and_remedy(tmp_path, spoil, error, message):
    table = gaia()
    spoil(table)
    path = written(table, tmp_path / "stars.fits")
    with pytest.raises(error, match=r"stars\.fits: .*" + message):
        ingest(catalogue(path), "astrometry")


def test_exact_float_ids_are_accepted(tmp_path):
    table = gaia()
    table["source_id"] = [1.0, 2.0, 2.0**53 - 1]
    path = written(table, tmp_path / "stars.fits")
    assert ingest(catalogue(path), "astrometry")["source_id"].dtype == np.int64


def with_column(tmp_path, name, values=(0.1, 0.2, 0.3)):
    """The stars with one more column [mag], as an extinction catalogue."""
    table = gaia()
    table.rename_column("source_id", "extinction_id")
    table[name] = np.array(values) * u.mag
    return written(table, tmp_path / "stars.fits", overwrite=True)


REDDENINGS = ("EBV", "ebv", "E_BV", "E_B_V", "EB_V", "E_B-V", "EBV_SFD", "E(B-V)SFD", "E(B-V)")


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        *((name, r"E\(B-V\)") for name in REDDENINGS),
        ("E_BP_RP", r"E\(BP-RP\)"),
        ("E(g-r)", r"E\(g-r\)"),
        ("E(u-g)", "a reddening"),
        ("reddening", "a reddening"),
        ("A_G", "A_G"),
    ],
)
def test_reddening_is_never_taken_for_a_v(tmp_path, name, meaning):
    path = with_column(tmp_path, name)
    for columns in ({}, {"extinction": name}):
        with pytest.raises(TableError, match=rf"{meaning}.*, where A_V is needed"):
            ingest(catalogue(path, columns=columns), "extinction")


def test_errors_of_a_reddening_are_no_errors_of_a_v(tmp_path):
    path = with_column(tmp_path, "e_EBV")
    with pytest.raises(TableError, match=r"'e_EBV' is E\(B-V\), where A_V is needed"):
        ingest(catalogue(path, columns={"extinction_error": "e_EBV"}), "extinction")


@pytest.mark.parametrize("name", ["e_av", "e_A_V", "my_extinction", "A_V_from_EBV"])
def test_errors_and_names_of_one_s_own_pass(tmp_path, name):
    ours = "extinction_error" if name.startswith("e_") else "extinction"
    path = with_column(tmp_path, name)
    assert ours in ingest(catalogue(path, columns={ours: name}), "extinction").colnames


@pytest.mark.parametrize("name", ["e_B-V", "astrometric_excess_noise", "phot_bp_rp_excess_factor"])
def test_unused_columns_that_are_no_reddening_pass(tmp_path, name):
    ingest(catalogue(with_column(tmp_path, name)), "extinction")


def test_astrometry_may_have_reddenings_that_nobody_uses(tmp_path):
    table = gaia()
    table["ebpminrp_gspphot"] = [0.1, 0.2, 0.3] * u.mag
    path = written(table, tmp_path / "stars.fits")
    ingest(catalogue(path), "astrometry")


def test_only_the_extinction_catalogue_gives_extinctions_and_classes(tmp_path):
    table = gaia()
    table["A_V"] = [0.1, 0.2, 0.3]  # without a unit, which nobody asks for
    table["class"] = ["QSO", "STAR", "STAR"]
    path = written(table, tmp_path / "stars.fits")
    read = ingest(catalogue(path), "astrometry")
    assert read.colnames == gaia().colnames
    with pytest.raises(TableError, match=r"`columns\.extinction` .* move it to catalogues\.ext"):
        ingest(catalogue(path, columns={"extinction": "A_V"}), "astrometry")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("A_V", [0.1, 999.0, 0.2], r"beyond \+-50 mag in 1 of 3 rows, the first: 2 \(.* 999 mag"),
        ("A_V", [-99.0, -99.0, 0.2], r"beyond \+-50 mag in 2 of 3 rows, the first: 1, 2"),
        ("A_V", [-9.99, 0.1, -9.99], r"'A_V' is -9\.99 in 2 of 3 rows, the first: 1, 3"),
    ],
)
def test_marks_of_missing_extinctions_are_refused(tmp_path, name, values, message):
    path = with_column(tmp_path, name, values)
    with pytest.raises(TableError, match=rf"stars\.fits: column .*{message}.*values to NaN"):
        ingest(catalogue(path), "extinction")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("parallax", [-999.0, 1.0, 2.0]),
        ("parallax", [-9999.0, 1.0, -9999.0]),
        ("parallax", [-99.0, -99.0, -99.0]),
        ("pmra", [999.0, 999.0, 1.0]),
        ("pmdec", [-9999.0, 2.0, -9999.0]),
    ],
)
def test_marks_of_missing_astrometry_are_refused(tmp_path, name, values):
    table = gaia()
    table["parallax_error"] = 1.0 * u.mas
    table[name] = (values * table[name].unit).astype(np.float32)
    path = written(table, tmp_path / "stars.fits")
    count = values.count(values[0])
    message = rf"column '{name}' is {values[0]:g} in {count} of 3 rows, the first: 1.*to NaN"
    with pytest.raises(TableError, match=message):
        ingest(catalogue(path), "astrometry")


def test_stars_that_move_fast_or_hide_well_are_no_mistakes(tmp_path):
    table = gaia()
    table["pmra"] = [999.0, -10326.0, 3.0] * u.mas / u.yr
    table["parallax"] = [-99.0, 768.0, 1.0] * u.mas
    table["parallax_error"] = [50.0, 0.1, 0.1] * u.mas
    ingest(catalogue(written(table, tmp_path / "stars.fits")), "astrometry")


def test_extinctions_of_either_sign_and_any_likely_size_pass(tmp_path):
    path = with_column(tmp_path, "A_V", [40.0, -0.5, -9.0])
    ingest(catalogue(path), "extinction")


@pytest.mark.parametrize(
    ("ours", "meant"),
    [
        ("paralax", "parallax"),
        ("Parallax", "parallax"),
        ("extinction_err", "extinction_error"),
        ("sourceid", "source_id"),
        ("photGMeanMag", "phot_g_mean_mag"),
    ],
)
def test_misspelt_names_of_ours_are_not_new_columns(tmp_path, ours, meant):
    path = written(gaia(), tmp_path / "stars.fits")
    with pytest.raises(TableError, match=rf"`columns\.{ours}`.*did you mean '{meant}'\?"):
        ingest(catalogue(path, columns={ours: "parallax"}), "astrometry")


@pytest.mark.parametrize("ours", ["j_mag", "phot_j_mean_mag", "parallax_over_error", "ruwe"])
def test_further_columns_may_have_any_other_name(tmp_path, ours):
    path = written(gaia(), tmp_path / "stars.fits")
    columns = {ours: "phot_g_mean_mag"}
    assert ours in ingest(catalogue(path, columns=columns), "astrometry").colnames


def test_units_that_contradict_the_file_or_name_nothing(tmp_path):
    path = written(gaia(), tmp_path / "stars.fits")
    with pytest.raises(UnitsError, match=r"in mas by the file and in arcsec by `units\.parallax`"):
        ingest(catalogue(path, units={"parallax": "arcsec"}), "astrometry")
    with pytest.raises(UnitsError, match=r"`units\.Plx` is set, but there is no such column"):
        ingest(catalogue(path, units={"Plx": "mas"}), "astrometry")
    with pytest.raises(UnitsError, match="is no unit"):
        ingest(catalogue(path, units={"parallax": "mass of mas"}), "astrometry")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("stars.h5", {"path": "stars", "serialize_meta": True}),
        ("stars.fits", {}),
        ("stars.fits.gz", {}),
        ("stars.vot", {"format": "votable"}),
        ("stars.parquet", {"format": "parquet"}),
        ("stars.csv", {"format": "ascii.csv"}),
    ],
)
def test_truncated_and_empty_files(tmp_path, name, options):
    path = written(gaia(), tmp_path / name, **options)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * 0.7)] if name != "stars.csv" else whole[:-40])
    with pytest.raises(TableError, match=rf"{name}: .*(truncated|damaged)"):
        ingest(catalogue(path, units=UNITS if name == "stars.csv" else {}), "astrometry")
    path.write_bytes(b"")
    with pytest.raises(TableError, match=r"empty \(0 bytes\)"):
        ingest(catalogue(path), "astrometry")
    path.unlink()
    with pytest.raises(TableError, match="no such file"):
        ingest(catalogue(path), "astrometry")


def test_a_table_without_rows(tmp_path):
    path = written(gaia()[:0], tmp_path / "stars.fits")
    with pytest.raises(TableError, match=r"stars\.fits: the table has no rows"):
        ingest(catalogue(path), "astrometry")


@pytest.mark.parametrize("name", ["stars.csv", "stars.ecsv", "stars.vot", "stars.fits"])
def test_repeated_columns(tmp_path, name):
    options = {"stars.csv": "ascii.csv", "stars.ecsv": "ascii.ecsv", "stars.vot": "votable"}
    path = written(gaia(), tmp_path / name, format=options.get(name, "fits"))
    content = path.read_bytes()
    first, second = (b"'pmra    '", b"'ra      '") if name == "stars.fits" else (b"pmra", b"ra")
    path.write_bytes(content.replace(first, second))
    with pytest.raises(TableError, match=r"column 'ra' appears 2 times"):
        ingest(catalogue(path), "astrometry")


def test_an_hdf5_file_of_several_tables(tmp_path):
    path = tmp_path / "stars.h5"
    gaia().write(path, path="a", serialize_meta=True)
    gaia().write(path, path="b", append=True, serialize_meta=True)
    with pytest.raises(TableError, match="one table is needed"):
        ingest(catalogue(path), "astrometry")


def test_identifications(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text(f"hip,source_id\n3,{LARGE_ID}\n4,17\n")
    first, second = read_identifications(path, "source_id", "hip")
    assert first.tolist() == [LARGE_ID, 17]
    assert second.tolist() == [3, 4]
    with pytest.raises(Dust3dError, match="no column 'gaia'; it has: hip, source_id"):
        read_identifications(path, "gaia", "hip")
