"""The FFT onto the grid against the separable products and the plain sum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dust3d.fields.modes import fourier_modes
from dust3d.transforms.grid import cell_centres, grid_transform
from dust3d.transforms.separable import evaluate_grid, lattice_coefficients

CASES = [
    ((4,), (9,), (0.7,)),
    ((4,), (12,), (0.7,)),
    ((3, 2), (8, 7), (2.0, 1.0)),
    ((3, 2), (7, 6), (2.0, 1.0)),
    ((4, 3, 2), (12, 8, 5), (2.0, 1.5, 0.4)),
    ((4, 3, 2), (9, 10, 6), (2.0, 1.5, 0.4)),
]


def coefficients(modes, dtype=np.float64):
    """Cosine and sine coefficients."""
    drawn = np.random.default_rng(5).standard_normal((2, len(modes))) / len(modes) ** 0.5
    return jnp.asarray(drawn, dtype)


def plain_sum(modes, cos, sin, half_widths, cells):
    """a cos(k x) + b sin(k x), mode by mode."""
    axes = [cell_centres(h, n) for h, n in zip(half_widths, cells, strict=True)]
    mesh = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    angle = mesh @ (np.pi * modes / np.asarray(half_widths)).T
    return np.cos(angle) @ np.asarray(cos) + np.sin(angle) @ np.asarray(sin)


@pytest.mark.parametrize("ball", [True, False])
@pytest.mark.parametrize(("order", "cells", "half_widths"), CASES)
def test_fft_is_the_separable_and_the_plain_sum(order, cells, half_widths, ball):
    modes = fourier_modes(order, ball)
    cos, sin = coefficients(modes)
    fast = grid_transform(modes, cells)(cos, sin)
    assert fast.shape == cells
    np.testing.assert_allclose(fast, plain_sum(modes, cos, sin, half_widths, cells), atol=1e-12)
    axes = tuple(jnp.asarray(cell_centres(h, n)) for h, n in zip(half_widths, cells, strict=True))
    lattice = lattice_coefficients(modes, order, cos, sin)
    np.testing.assert_allclose(
        evaluate_grid(lattice, order, half_widths, axes), fast, rtol=0, atol=1e-12
    )


def test_single_precision_stays_single_and_close():
    modes = fourier_modes((4, 3, 2))
    transform = grid_transform(modes, (12, 8, 6))
    rough = transform(*coefficients(modes, np.float32))
    assert rough.dtype == jnp.float32
    np.testing.assert_allclose(rough, transform(*coefficients(modes)), atol=5e-6)


def test_the_transform_is_linear_and_its_adjoint_is_the_transpose():
    modes = fourier_modes((4, 3, 2))
    transform = grid_transform(modes, (12, 8, 6))
    cos, sin = coefficients(modes)
    target = np.random.default_rng(6).standard_normal((12, 8, 6))
    values, pull = jax.vjp(transform, cos, sin)
    back = pull(jnp.asarray(target))
    np.testing.assert_allclose(jnp.vdot(target, values), cos @ back[0] + sin @ back[1], rtol=1e-12)


@pytest.mark.parametrize("cells", [(8, 8, 8), (7, 8, 8), (9, 6, 8), (9, 8, 4)])
def test_modes_at_or_above_nyquist_are_refused(cells):
    modes = fourier_modes((4, 3, 2))
    with pytest.raises(ValueError, match="more than two cells per shortest wavelength"):
        grid_transform(modes, cells)


def test_cell_centres_divide_the_box_evenly():
    np.testing.assert_allclose(cell_centres(1.0, 4), [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(cell_centres(1.5, 3), [-1, 0, 1], atol=1e-15)
