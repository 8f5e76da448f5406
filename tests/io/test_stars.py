"""From star tables to arrays: frames, units and what is refused."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from dust3d.distances import distance_cells
from dust3d.errors import TableError
from dust3d.io import tables
from dust3d.io.stars import observation_chunks, read_observations, read_split
from dust3d.io.tables import write_table

BOX = (1.0, 1.0, 0.5)


def table(**changes):
    """Three stars: to l = 0, l = 90 deg and b = 90 deg."""
    columns = {
        "l": [0.0, 90.0, 0.0] * u.deg,
        "b": [0.0, 0.0, 90.0] * u.deg,
        "distance": [0.1, 0.2, 0.3] * u.kpc,
        "extinction": [0.3, -0.1, 0.5] * u.mag,
        "extinction_error": [0.05, 0.1, 0.2] * u.mag,
        "class": ["F", "A", "F"],
    }
    return QTable(columns | changes)


def read(folder, half_widths=BOX, class_names=None, **changes):
    """Write and read a table."""
    write_table(folder / "train.h5", table(**changes))
    return read_observations(folder / "train.h5", half_widths, class_names)


def test_positions_and_values(tmp_path):
    stars = read(tmp_path)
    np.testing.assert_allclose(stars.positions, np.diag([0.1, 0.2, 0.3]), atol=1e-15)
    np.testing.assert_allclose(stars.distances, [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(stars.extinction, [0.3, -0.1, 0.5])
    np.testing.assert_array_equal(stars.sigma, [0.05, 0.1, 0.2])
    assert stars.class_names == ("A", "F")
    assert stars.classes.tolist() == [1, 0, 1]
    assert len(stars.take(np.array([2]))) == 1


def test_other_units_are_the_same_stars(tmp_path):
    stars = read(tmp_path, distance=[100, 200, 300] * u.pc, l=[0, np.pi / 2, 0] * u.rad)
    np.testing.assert_allclose(stars.positions, np.diag([0.1, 0.2, 0.3]), atol=1e-15)


def test_known_classes_are_numbered_alike(tmp_path):
    stars = read(tmp_path, class_names=("B", "F", "A"))
    assert stars.classes.tolist() == [1, 2, 1]


def test_the_plane(tmp_path):
    stars = read(tmp_path, (1.0, 1.0), b=[0.0, 0.0, 0.0] * u.deg)
    np.testing.assert_allclose(stars.positions, [[0.1, 0], [0, 0.2], [0.3, 0]], atol=1e-15)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"distance": [0.1, np.nan, 0.3] * u.kpc}, "1 of 3 stars have values that are not finite"),
        ({"extinction": [0.1, np.nan, np.inf] * u.mag}, "2 of 3 stars .* the first in row 1"),
        ({"extinction_error": [0.1, 0.1, 0.0] * u.mag}, "errors of extinction .* in row 2"),
        ({"distance": [0.1, 0.0, 0.3] * u.kpc}, "no distance from the Sun, the first in row 1"),
        ({"distance": [0.1, 0.2, 0.51] * u.kpc}, "places outside the box, the first in row 2"),
    ],
)
def test_stars_that_cannot_be_fitted(tmp_path, changes, words):
    with pytest.raises(TableError, match=rf"train\.h5: .*{words}.*select the stars again"):
        read(tmp_path, **changes)


def test_classes_that_are_not_known(tmp_path):
    with pytest.raises(TableError, match="2 of 3 stars have a class other than A, B"):
        read(tmp_path, class_names=("A", "B"))


def test_tables_are_read_and_checked_in_chunks(tmp_path, monkeypatch):
    whole = read(tmp_path)
    monkeypatch.setattr(tables, "_ROWS_PER_CHUNK", 2)
    parts = list(observation_chunks(tmp_path / "train.h5", BOX, ("A", "F")))
    assert [len(p) for p in parts] == [2, 1]
    again = read(tmp_path)
    for name in ("positions", "extinction", "sigma", "classes"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    # rows are counted from the start of the table
    with pytest.raises(TableError, match=r"1 of 1 stars after row 1 have .* in row 2"):
        read(tmp_path, extinction_error=[0.1, 0.1, 0.0] * u.mag)


def test_a_class_may_have_all_its_stars_on_one_side_of_the_split(tmp_path):
    names = {"train": ["F", "F", "A"], "heldout": ["O", "F", "B"]}
    for name, classes in names.items():
        write_table(tmp_path / f"{name}.h5", table(**{"class": classes}))
    train, heldout = read_split(tmp_path / "train.h5", tmp_path / "heldout.h5", BOX)
    assert train.class_names == heldout.class_names == ("A", "B", "F", "O")
    assert [train.class_names[i] for i in train.classes] == names["train"]
    assert [heldout.class_names[i] for i in heldout.classes] == names["heldout"]


PRIOR = {"parallax_zero_point_mas": -0.02, "distance_scale_kpc": 0.5}


def uncertain_table(**changes):
    """The three stars with parallaxes of 1 %, 10 % and 30 %."""
    parallax = np.array([10.0, 5.0, 1 / 0.3]) * u.mas
    made = table(parallax=parallax, parallax_error=[0.01, 0.1, 0.3] * parallax, **changes)
    made.meta = dict(PRIOR)
    return made


def test_distance_posteriors_in_cells_end_at_the_face_of_the_box(tmp_path):
    write_table(tmp_path / "train.h5", uncertain_table())
    stars = read_observations(tmp_path / "train.h5", BOX, cells=5)
    parallax = np.array([10.0, 5.0, 1 / 0.3])
    free = distance_cells(parallax + 0.02, [0.01, 0.1, 0.3] * parallax, 0.5, 5)
    np.testing.assert_allclose(stars.cells.distance[:2], free.distance[:2], rtol=1e-12)
    np.testing.assert_allclose(stars.cells.spread[:2], free.spread[:2], rtol=1e-12)
    # the third star's posterior reaches beyond z = 0.5 kpc
    assert free.distance[2, -1] > 0.5
    assert stars.cells.distance[2, -1] == pytest.approx(0.5, rel=1e-9)
    assert stars.cells.distance[2, -1] <= 0.5
    assert stars.cells.spread[2, -1] == 0
    assert (stars.rays, stars.reach_kpc) == (5, stars.cells.distance.max())
    assert stars.ends.shape == (3, 5, 3)
    np.testing.assert_allclose(stars.ends[2, :, 2], stars.cells.distance[2], rtol=1e-12)
    one = stars.take(np.array([1]))
    np.testing.assert_array_equal(one.cells.distance, stars.cells.distance[1:2])
    # known distances: as ever
    known = read_observations(tmp_path / "train.h5", BOX)
    assert known.cells is None
    np.testing.assert_array_equal(known.positions, stars.positions)
    assert (known.rays, known.reach_kpc) == (1, known.distances.max())


def test_cells_are_read_in_chunks(tmp_path, monkeypatch):
    write_table(tmp_path / "train.h5", uncertain_table())
    whole = read_observations(tmp_path / "train.h5", BOX, cells=3)
    monkeypatch.setattr(tables, "_ROWS_PER_CHUNK", 2)
    again = read_observations(tmp_path / "train.h5", BOX, cells=3)
    np.testing.assert_array_equal(again.cells.distance, whole.cells.distance)
    np.testing.assert_array_equal(again.cells.spread, whole.cells.spread)


def test_stars_without_what_posteriors_follow_from(tmp_path):
    path = tmp_path / "train.h5"
    write_table(path, table())
    with pytest.raises(TableError, match=r"no parallax_zero_point_mas.*distance_cells: 1"):
        read_observations(path, BOX, cells=3)
    bare = table()
    bare.meta = dict(PRIOR)
    write_table(path, bare)
    with pytest.raises(TableError, match="no column 'parallax', 'parallax_error'"):
        read_observations(path, BOX, cells=3)
    broken = uncertain_table()
    broken["parallax_error"][1] = 0 * u.mas
    write_table(path, broken)
    with pytest.raises(TableError, match=r"1 of 3 stars have no parallax.*in row 1"):
        read_observations(path, BOX, cells=3)
