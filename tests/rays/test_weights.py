"""Production rays converge to the exact ones as the grid is refined."""

import jax.numpy as jnp
import numpy as np
import pytest
from tests.fields.examples import EXAMPLES, HALF_WIDTHS, fourier

from dust3d.rays.grid import Grid, fast_size, grid_for_order, ln_density_on
from dust3d.rays.nodes import extinctions
from dust3d.rays.weights import ray_weights

DOUBLE = jnp.dtype("float64")


def stars(ndim, n=40):
    """Stars in the whole box, its faces and corners included."""
    unit = np.random.default_rng(8).uniform(-1, 1, (n, ndim))
    unit[0], unit[1] = 1.0, -1.0
    unit[2, 0], unit[3, -1] = 1.0, -1.0
    return unit * np.asarray(HALF_WIDTHS[:ndim])


def error(field, positions, cells):
    """Largest error, as a part of the largest extinction, with steps far below the voxels."""
    grid = Grid(tuple(cells), HALF_WIDTHS[: len(cells)])
    density = np.exp(np.asarray(ln_density_on(field, grid, DOUBLE))).ravel()
    found = ray_weights(positions, grid, 0.1) @ density
    exact = np.asarray(extinctions(field, jnp.asarray(positions), 64))
    return np.max(np.abs(found - exact)) / np.max(exact)


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_error_falls_with_the_square_of_the_voxel(ndim):
    field, positions = fourier(ndim), stars(ndim)
    errors = [error(field, positions, [n, n, n // 2][:ndim]) for n in (24, 48, 96)]
    order = np.log2(np.divide(errors[:-1], errors[1:]))
    assert errors[-1] < 5e-3
    assert np.all(order > 1.6), order
    assert np.all(order < 2.4), order


def test_the_quadrature_error_falls_with_the_step():
    grid = Grid((24, 24, 12), HALF_WIDTHS)
    density = np.exp(np.asarray(ln_density_on(fourier(), grid, DOUBLE))).ravel()
    steps = (1.6, 0.8, 0.4, 0.05)
    coarse, middle, fine, best = (ray_weights(stars(3), grid, s) @ density for s in steps)
    errors = [np.sqrt(np.mean((a - best) ** 2)) for a in (coarse, middle, fine)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_uniform_dust_is_exact_up_to_the_faces_of_the_box():
    grid, positions = Grid((8, 6, 10), HALF_WIDTHS), stars(3)
    found = ray_weights(positions, grid, 0.5) @ np.full(grid.size, 0.7)
    np.testing.assert_allclose(found, 0.7 * np.linalg.norm(positions, axis=1), rtol=1e-6)


def test_density_linear_in_place_is_exact_away_from_the_faces():
    grid = Grid((8, 6, 10), HALF_WIDTHS)
    positions = 0.8 * stars(3)
    x, y, z = np.meshgrid(*grid.axes, indexing="ij")
    found = ray_weights(positions, grid, 0.5) @ (5 + 0.3 * x - 0.2 * y + z).ravel()
    half_way = 5 + (0.3 * positions[:, 0] - 0.2 * positions[:, 1] + positions[:, 2]) / 2
    np.testing.assert_allclose(found, np.linalg.norm(positions, axis=1) * half_way, rtol=1e-5)


def test_the_opposite_face_is_the_neighbour():
    grid = Grid((8, 8), (1.0, 1.0))
    weights = ray_weights(np.array([[1.0, 0.0]]), grid, 0.1).toarray().reshape(8, 8)
    assert weights[0, 3] > 0
    np.testing.assert_allclose(weights[:, 3], weights[:, 4], rtol=1e-5)
    assert weights[1:4, 3][0] == 0


def test_several_stars_in_one_direction_and_the_sun():
    grid = Grid((48, 48, 24), HALF_WIDTHS)
    positions = np.linspace(0, 1, 6)[:, None] * np.array([1.4, -1.1, 0.7])
    density = np.exp(np.asarray(ln_density_on(fourier(), grid, DOUBLE))).ravel()
    found = ray_weights(positions, grid, 0.25) @ density
    exact = extinctions(fourier(), jnp.asarray(positions), 48)
    assert found[0] == 0
    assert np.all(np.diff(found) > 0)
    np.testing.assert_allclose(found, exact, rtol=0.02)


def test_chunks_change_nothing(monkeypatch):
    grid = Grid((12, 10, 8), HALF_WIDTHS)
    whole = ray_weights(stars(3), grid, 0.5)
    monkeypatch.setattr("dust3d.rays.weights._POINTS_PER_CHUNK", 40)
    assert abs(ray_weights(stars(3), grid, 0.5) - whole).max() == 0


@pytest.mark.parametrize("place", [1.51, -1.51, np.nan, np.inf])
def test_a_star_outside_the_box_is_refused(place):
    positions = np.array([[0.1, 0.2, 0.1], [0.1, place, 0.1]])
    with pytest.raises(ValueError, match="1 stars lie outside the box, the first in row 1"):
        ray_weights(positions, Grid((8, 8, 8), HALF_WIDTHS), 0.5)


@pytest.mark.parametrize("name", ["amplitude-phase 3-D", "sum 3-D", "network 2-D", "sum 2-D"])
def test_the_grid_holds_the_field_itself(name):
    field, ndim = EXAMPLES[name]
    grid = Grid((12, 10, 6)[:ndim], HALF_WIDTHS[:ndim])
    mesh = np.stack(np.meshgrid(*grid.axes, indexing="ij"), axis=-1)
    found = ln_density_on(field, grid, DOUBLE)
    expected = field.at(jnp.asarray(mesh.reshape(-1, ndim)))
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-12)


def test_a_series_of_another_box_is_not_taken_for_one_of_this():
    grid = Grid((12, 12, 12), (0.5, 0.5, 0.5))
    found = ln_density_on(fourier(), grid, DOUBLE)
    place = jnp.asarray([axis[3] for axis in grid.axes])
    assert found[3, 3, 3] == pytest.approx(float(fourier()(place)), abs=1e-12)


def test_cells_are_even_products_of_small_primes_and_enough():
    for least in (1.0, 7.0, 31.0, 97.5, 251.0):
        n = fast_size(least)
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        assert rest == 1
        assert n % 2 == 0
        assert n >= least
    assert grid_for_order((10, 10, 2), (1.0, 1.0, 0.2), 2.4).cells == (48, 48, 10)
