"""Sparse rays: against exact nodes, against dust that each kernel integrates exactly, at edges."""

import jax.numpy as jnp
import numpy as np
import pytest
from tests.fields.examples import EXAMPLES, HALF_WIDTHS, fourier

from dust3d.rays import weights as module
from dust3d.rays.cells import cell_weights
from dust3d.rays.grid import Grid, fast_size, ln_density_on
from dust3d.rays.nodes import extinctions, moments
from dust3d.rays.scheme import DEGREES, Scheme, scheme_for, undo_hat, undo_spline
from dust3d.rays.weights import ray_blocks, ray_weights

DOUBLE = jnp.dtype("float64")
KERNELS = list(DEGREES)


def stars(ndim, n=60, seed=0):
    """Stars in the middle of the box."""
    generator = np.random.default_rng(seed)
    return generator.uniform(-0.9, 0.9, (n, ndim)) * np.asarray(HALF_WIDTHS[:ndim])


def plain(kernel, cells, smallest=0.0):
    """A scheme with grids of the same cells."""
    grid = Grid(tuple(cells), HALF_WIDTHS[: len(cells)])
    return Scheme(kernel, (grid,) * (len(cells) if kernel == "planes" else 1), smallest)


def errors(kernel, field, positions, cells, *, smallest=0.0):
    """Largest error of int rho ds and int rho^2 ds, in units of the largest value."""
    scheme = plain(kernel, cells, smallest)
    found = ray_weights(positions, scheme) @ np.asarray(scheme.densities(field, DOUBLE, True))
    exact = np.stack(moments(field, jnp.asarray(positions), nodes=64), axis=1)
    return np.max(np.abs(found - exact), axis=0) / np.max(exact, axis=0)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize(
    ("kernel", "least", "most", "coarse", "fine"),
    [
        ("trilinear", 1.6, 2.4, 0.06, 5e-3),
        ("deconvolved", 2.4, 6.0, 0.03, 4e-4),
        ("planes", 2.2, 6.0, 0.03, 6e-4),
        ("quadratic", 2.8, 9.0, 0.01, 1e-5),
        ("cubic", 3.5, 12.0, 0.01, 3e-6),
    ],
)
def test_errors_fall_as_fast_as_the_kernels_degree_promises(
    kernel, least, most, coarse, fine, ndim
):
    field, positions = fourier(ndim), stars(ndim)
    found = [errors(kernel, field, positions, [n, n, n // 2][:ndim]) for n in (24, 48, 96)]
    assert found[0][0] < coarse
    assert found[2][0] < fine
    order = np.log2(found[0][0] / found[2][0]) / 2
    assert least < order < most, order
    # the second moment goes through the same rays
    assert found[2][1] < 8 * fine


@pytest.mark.parametrize("kernel", ["deconvolved", "planes"])
def test_undoing_the_kernel_pays(kernel, monkeypatch):
    with_it = errors(kernel, fourier(), stars(3), (48, 48, 24))[0]
    monkeypatch.setattr("dust3d.rays.scheme.undo_hat", lambda values, axes: values)
    assert errors(kernel, fourier(), stars(3), (48, 48, 24))[0] > 3 * with_it


@pytest.mark.parametrize("shape", [(16, 12), (16, 12, 10)])
@pytest.mark.parametrize("xp", [np, jnp])
def test_undoing_inverts_the_damping_of_a_wave(shape, xp):
    mesh = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    phase = [2 * np.pi * m / n for m, n in zip((2, 1, 1), shape, strict=False)]
    wave = np.cos(sum(p * x for p, x in zip(phase, mesh, strict=True)))
    sinc = np.prod([np.sinc(p / (2 * np.pi)) for p in phase])
    found = undo_spline(xp.asarray(wave), 2)
    np.testing.assert_allclose(found, wave / sinc**3, atol=1e-12)
    # to fourth order: by differences
    found = undo_hat(xp.asarray(wave), range(len(shape)))
    damped = np.prod([1 + (1 - np.cos(p)) / 6 for p in phase])
    np.testing.assert_allclose(found, wave * damped, atol=1e-12)
    assert damped == pytest.approx(1 / sinc**2, rel=0.01)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("smallest", [0.0, 0.02])
@pytest.mark.parametrize("ndim", [2, 3])
def test_uniform_dust_is_exact_up_to_the_faces_of_the_box(kernel, smallest, ndim):
    scheme, positions = plain(kernel, (8, 6, 10)[:ndim], smallest), stars(ndim)
    positions[0] = np.asarray(HALF_WIDTHS[:ndim])
    positions[1] = 0
    positions[2] = 1e-5 * positions[3]
    positions[4, 0] = -HALF_WIDTHS[0]
    positions[5, 1:] = 0
    found = ray_weights(positions, scheme) @ np.full(scheme.size, 0.7)
    np.testing.assert_allclose(found, 0.7 * np.linalg.norm(positions, axis=1), rtol=2e-6)


@pytest.mark.parametrize("kernel", ["trilinear", "planes", "quadratic", "cubic"])
def test_density_linear_in_place_is_exact_away_from_the_faces(kernel):
    scheme = plain(kernel, (16, 16, 20))
    grid, positions = scheme.grids[0], 0.6 * stars(3)
    x, y, z = np.meshgrid(*grid.axes, indexing="ij")
    density = (5 + 0.3 * x - 0.2 * y + z).ravel()
    found = ray_weights(positions, scheme) @ np.tile(density, len(scheme.grids))
    half_way = 5 + (0.3 * positions[:, 0] - 0.2 * positions[:, 1] + positions[:, 2]) / 2
    np.testing.assert_allclose(found, np.linalg.norm(positions, axis=1) * half_way, rtol=1e-5)


def slow_trilinear(star, grid, steps=20_000):
    """Midpoint rule with a great many steps, corner by corner."""
    out = np.zeros(grid.cells)
    cell = (np.arange(steps)[:, None] + 0.5) / steps * star / grid.voxel
    cell = cell + np.asarray(grid.cells) / 2 - 0.5
    low = np.floor(cell).astype(int)
    share = cell - low
    for corner in np.ndindex(*(2,) * len(grid.cells)):
        weight = np.prod(np.where(corner, share, 1 - share), axis=1)
        np.add.at(out, tuple(((low + corner) % grid.cells).T), weight)
    return np.linalg.norm(star) / steps * out.ravel()


@pytest.mark.parametrize("cells", [(8, 6), (8, 6, 10)])
def test_segments_are_integrated_exactly(cells):
    grid = Grid(cells, HALF_WIDTHS[: len(cells)])
    positions = stars(len(cells), 12)
    positions[0] = HALF_WIDTHS[: len(cells)]
    found = cell_weights(positions, grid, 1).toarray()
    slow = np.stack([slow_trilinear(star, grid) for star in positions])
    np.testing.assert_allclose(found, slow, atol=2e-5 * sum(HALF_WIDTHS))


@pytest.mark.parametrize("kernel", ["trilinear", "planes"])
def test_the_opposite_face_is_the_neighbour(kernel):
    grid = Grid((8, 8), (1.0, 1.0))
    scheme = Scheme(kernel, (grid,) * (2 if kernel == "planes" else 1), 0.0)
    weights = ray_weights(np.array([[1.0, 0.0]]), scheme).toarray()[0, :64].reshape(8, 8)
    assert abs(weights[0, 3]) > 0
    np.testing.assert_allclose(weights[:, 3], weights[:, 4], rtol=1e-5)
    assert np.abs(weights[1, 3]) < 0.02 * weights[5, 3]
    corner = ray_weights(np.array([[1.0, 0.9999]]), scheme).toarray()[0, :64].reshape(8, 8)
    assert corner[0, 0] > 0.03 * corner[7, 7]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("ndim", [2, 3])
def test_rays_that_end_or_run_at_the_faces_see_the_opposite_side(kernel, ndim):
    faces, half = stars(ndim, 24), np.asarray(HALF_WIDTHS[:ndim])
    for i, star in enumerate(faces):
        star[i % ndim] = half[i % ndim] * (1 if i % 2 else -1)
        star[(i + 1) % ndim] = 0.99 * half[(i + 1) % ndim]
    found = errors(kernel, fourier(ndim), faces, (64, 64, 32)[:ndim])
    assert np.all(found < (0.03 if kernel == "trilinear" else 0.006)), found


@pytest.mark.parametrize("kernel", KERNELS)
def test_several_stars_in_one_direction_and_the_sun(kernel):
    scheme = plain(kernel, (48, 48, 24))
    positions = np.linspace(0, 1, 6)[:, None] * np.array([1.4, -1.1, 0.7])
    found = ray_weights(positions, scheme) @ np.asarray(scheme.densities(fourier(), DOUBLE, False))
    exact = extinctions(fourier(), jnp.asarray(positions), 48)
    assert found[0, 0] == 0
    assert np.all(np.diff(found[:, 0]) > 0)
    np.testing.assert_allclose(found[:, 0], exact, rtol=0.02)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", [1e-3, 0.03, 0.3])
def test_stars_nearer_than_a_voxel_see_the_density_at_the_sun(kernel, size):
    scheme = plain(kernel, (48, 48, 24), smallest=0.02 if DEGREES[kernel] == 1 else 5e-4)
    positions = size * scheme.grids[0].voxel.min() * np.eye(3)
    found = ray_weights(positions, scheme) @ np.asarray(scheme.densities(fourier(), DOUBLE, False))
    exact = extinctions(fourier(), jnp.asarray(positions), 8)
    np.testing.assert_allclose(found[:, 0], exact, rtol=0.03)


@pytest.mark.parametrize("kernel", KERNELS)
def test_small_weights_are_left_out_and_made_up_for(kernel):
    smallest = 0.02 if DEGREES[kernel] == 1 else 5e-4
    whole = ray_weights(stars(3), plain(kernel, (24, 24, 12)))
    fewer = ray_weights(stars(3), plain(kernel, (24, 24, 12), smallest))
    assert fewer.nnz < 0.9 * whole.nnz
    np.testing.assert_allclose(fewer.sum(axis=1), whole.sum(axis=1), rtol=1e-5)
    before, after = (
        errors(kernel, fourier(), stars(3), (48, 48, 24), smallest=s)[0] for s in (0.0, smallest)
    )
    assert after < before + 0.004


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("cores", [1, 3])
def test_chunks_and_blocks_change_nothing(kernel, cores, monkeypatch):
    scheme, positions = plain(kernel, (12, 10, 8), 0.01), stars(3)
    whole = ray_weights(positions, scheme)
    monkeypatch.setattr(module, "_CROSSINGS_PER_CHUNK", 60)
    monkeypatch.setattr(module, "cores", lambda: cores)
    blocks = ray_blocks(positions, scheme)
    assert len(blocks) == cores
    assert abs(ray_weights(positions, scheme) - whole).max() < 1e-7
    assert whole.indices.dtype == whole.indptr.dtype == np.int32
    assert whole.data.dtype == np.float32


@pytest.mark.parametrize("place", [1.51, -1.51, np.nan, np.inf])
def test_a_star_outside_the_box_is_refused(place):
    positions = np.array([[0.1, 0.2, 0.1], [0.1, place, 0.1]])
    with pytest.raises(ValueError, match="1 stars lie outside the box, the first in row 1"):
        ray_weights(positions, plain("planes", (8, 8, 8)))


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


def test_schemes_follow_the_order():
    box = (1.0, 1.0, 0.2)
    (grid,) = scheme_for("deconvolved", (10, 10, 2), box, 2.4).grids
    assert grid.cells == (48, 48, 10)
    cells = [grid.cells for grid in scheme_for("planes", (10, 10, 2), box, 3.0).grids]
    assert cells == [(30, 60, 12), (60, 30, 12), (60, 60, 6)]
    coarse, fine = (scheme_for("planes", (10, 10, 2), box, o).smallest for o in (2.4, 4.8))
    assert fine == pytest.approx(coarse / 4)
