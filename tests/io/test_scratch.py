"""Stars put in order on disk: the same ones as in memory, in any order, in little memory."""

from dataclasses import replace

import numpy as np
import pytest
from tests.inference.small import BOX, observations

from dust3d.distances import DistanceCells
from dust3d.errors import ProductError
from dust3d.io.scratch import OrderedStars, scratch_bytes, write_ordered


def chunks_of(stars, size):
    for first in range(0, len(stars), size):
        yield stars.take(np.arange(first, min(first + size, len(stars))))


def ordered(folder, stars, order, *, chunk=7, bucket=11):
    places = np.empty(len(order), dtype=np.int32)
    places[order] = np.arange(len(order))
    path = folder / "scratch.h5"
    return write_ordered(path, chunks_of(stars, chunk), places, ("A", "F"), len(BOX), bucket=bucket)


# buckets and chunks that divide the number of stars, do not, and are larger
@pytest.mark.parametrize(("chunk", "bucket"), [(7, 11), (10, 20), (100, 100), (1, 3), (60, 1)])
def test_stars_come_back_in_the_order_that_was_asked_for(tmp_path, chunk, bucket):
    stars = observations(60)
    order = np.random.default_rng(0).permutation(60)
    found = ordered(tmp_path, stars, order, chunk=chunk, bucket=bucket)
    assert len(found) == 60
    for first, last in [(0, 60), (0, 13), (13, 26), (59, 60)]:
        some, expected = found.take(first, last), stars.take(order[first:last])
        for name in ("positions", "extinction", "sigma", "classes"):
            np.testing.assert_array_equal(getattr(some, name), getattr(expected, name))
        assert some.class_names == ("A", "F")


def test_the_file_is_as_large_as_announced_and_goes_away(tmp_path):
    found = ordered(tmp_path, observations(5000), np.arange(5000), chunk=1000, bucket=2000)
    size = found.path.stat().st_size
    assert size == pytest.approx(scratch_bytes(5000, 3), rel=0.05)
    found.remove()
    assert list(tmp_path.iterdir()) == []


def test_stars_that_cannot_be_used_leave_no_file(tmp_path):
    def broken():
        yield observations(10)
        raise ValueError("row 10")

    with pytest.raises(ValueError, match="row 10"):
        write_ordered(tmp_path / "scratch.h5", broken(), np.arange(20), ("A", "F"), 3)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProductError, match="no such file"):
        OrderedStars(tmp_path / "scratch.h5", ("A", "F"))


def test_distance_posteriors_go_along(tmp_path):
    stars = observations(60)
    generator = np.random.default_rng(2)
    stars = replace(stars, cells=DistanceCells(*generator.uniform(0.1, 1, (2, 60, 4))))
    order = generator.permutation(60)
    places = np.argsort(order)
    path, chunks = tmp_path / "scratch.h5", chunks_of(stars, 7)
    found = write_ordered(path, chunks, places, ("A", "F"), len(BOX), 4, bucket=11)
    some, expected = found.take(13, 26), stars.take(order[13:26])
    np.testing.assert_array_equal(some.cells.distance, expected.cells.distance)
    np.testing.assert_array_equal(some.cells.spread, expected.cells.spread)
    assert scratch_bytes(60, 3, 4) == scratch_bytes(60, 3) + 60 * 2 * 4 * 8
