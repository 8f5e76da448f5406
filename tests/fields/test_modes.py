"""Which modes a field has."""

import itertools

import numpy as np
import pytest

from dust3d.fields.modes import fourier_modes, wavenumbers


@pytest.mark.parametrize("order", [(1,), (3, 2), (4, 3, 2), (5, 5, 1)])
@pytest.mark.parametrize("ball", [True, False])
def test_each_pair_of_modes_occurs_once(order, ball):
    found = [tuple(m) for m in fourier_modes(order, ball).tolist()]
    every = itertools.product(*(range(-m, m + 1) for m in order))
    wanted = {
        m
        for m in every
        if any(m)
        and (not ball or sum((i / n) ** 2 for i, n in zip(m, order, strict=True)) <= 1 + 1e-9)
    }
    assert len(found) == len(set(found)) == len(wanted) // 2
    assert {m for n in found for m in (n, tuple(-i for i in n))} == wanted


def test_the_ball_of_order_5_has_the_82_numbers_of_the_plane():
    assert 2 * len(fourier_modes((5, 5))) == 80
    assert len(fourier_modes((5, 5), ball=False)) == (11**2 - 1) // 2


def test_modes_rise_and_cannot_be_changed():
    modes = fourier_modes((6, 4, 2))
    radius = np.sum((modes / np.array([6, 4, 2])) ** 2, axis=1)
    assert np.all(np.diff(radius) >= -1e-12)
    with pytest.raises(ValueError, match="read-only"):
        modes[0, 0] = 7


def test_a_mode_of_number_m_fits_m_waves_in_the_box():
    k = wavenumbers(np.array([[3, 0], [0, 2]]), (1.5, 0.5))
    np.testing.assert_allclose(2 * np.pi / k, [2 * 1.5 / 3, 2 * 0.5 / 2], rtol=1e-14)


@pytest.mark.parametrize("order", [(3, 0), (2, -1, 2), ()])
def test_an_order_without_modes_is_refused(order):
    with pytest.raises(ValueError, match="at least 1"):
        fourier_modes(order)
