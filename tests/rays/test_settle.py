"""Doubling until nothing moves, on made-up sequences whose convergence is known."""

import numpy as np
import pytest

from dust3d.rays.settle import settle


class Series:
    """Value i is 1 + size_i / nodes^2; remembers what was asked of it."""

    def __init__(self, sizes):
        self.sizes, self.asked = np.asarray(sizes, dtype=float), []

    def __call__(self, rows, nodes):
        self.asked.append((rows.tolist(), nodes))
        return 1 + self.sizes[rows] / nodes**2


def run(series, **options):
    settings = {
        "first": 2,
        "most": 1 << 10,
        "tolerance_mag": 1e-2,
        "percentile": 90.0,
        "each": True,
    }
    return settle(series, len(series.sizes), **(settings | options))


def test_one_number_of_nodes_for_all_is_the_first_whose_double_changes_little():
    series = Series([1.0] * 20)
    found = run(series, each=False)
    # from n to 2 n nodes a value moves by 3 / 4 n^2
    assert 0.75 / found.nodes**2 < 1e-2 <= 0.75 / (found.nodes / 2) ** 2
    assert found.change_mag == pytest.approx(0.75 / found.nodes**2)
    assert found.finest == 2 * found.nodes
    np.testing.assert_allclose(found.values, 1 + 1 / (2 * found.nodes) ** 2)
    assert not found.moving.any()


def test_the_last_values_go_on_alone_until_each_stands_still():
    series = Series([1.0] * 19 + [300.0])
    found = run(series)
    assert found.nodes == 16
    assert not found.moving.any()
    assert abs(found.values[-1] - 1) < 1e-2
    assert [rows for rows, _ in series.asked][-2:] == [[19], [19]]
    # without that the outermost are left where they are
    alone = run(Series([1.0] * 19 + [300.0]), each=False)
    assert alone.moving.tolist() == [False] * 19 + [True]


def test_agreement_by_chance_is_no_sign():
    """A value that does not move at first, while most do, goes on with the others."""

    def late(rows, nodes):
        values = 1 + 100.0 / nodes**2 * np.ones(len(rows))
        values[rows == 0] = 5.0 if nodes >= 16 else 1.0
        return values

    found = settle(late, 20, first=2, most=1 << 10, tolerance_mag=1e-2, percentile=90.0, each=True)
    assert found.values[0] == 5.0


def test_what_never_rests_is_said():
    found = run(Series([1.0, 1e9]), most=64)
    assert found.nodes is None
    assert found.moving.tolist() == [False, True]
    assert found.finest == 64
    assert found.largest_mag > 1e4
    broken = settle(
        lambda rows, _: np.full(len(rows), np.nan),
        3,
        first=2,
        most=64,
        tolerance_mag=1.0,
        percentile=90.0,
        each=True,
    )
    assert broken.moving.all()
    assert broken.finest == 4
