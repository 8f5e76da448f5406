"""Extinctions at all cells of a grid against those one by one."""

import jax.numpy as jnp
import numpy as np
import pytest
from tests.fields.examples import EXAMPLES, HALF_WIDTHS, network, structured

from dust3d.fields.fourier import FourierField, fourier_modes
from dust3d.fields.mean import ConstantMean
from dust3d.rays.nodes import extinctions
from dust3d.rays.pyramids import cell_extinctions, is_cheap_on_grids
from dust3d.transforms.grid import cell_centres


def one_by_one(field, half_widths, cells):
    axes = [cell_centres(h, n) for h, n in zip(half_widths, cells, strict=True)]
    mesh = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return extinctions(field, mesh.reshape(-1, len(cells)), 128).reshape(cells)


@pytest.mark.parametrize("name", ["Fourier 2-D", "amplitude-phase 3-D", "sum 3-D"])
# few and many cells; odd numbers have a cell at the Sun and planes through it
@pytest.mark.parametrize("cells", [(8, 6, 4), (21, 15, 11), (8, 1, 1)])
def test_each_cell_has_the_extinction_to_its_centre(name, cells):
    field, ndim = EXAMPLES[name]
    found = cell_extinctions(field, HALF_WIDTHS[:ndim], cells[:ndim])
    expected = one_by_one(field, HALF_WIDTHS[:ndim], cells[:ndim])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_a_uniform_sky_is_density_times_distance():
    found = cell_extinctions(ConstantMean(jnp.log(0.7)), (2.0, 1.0, 0.5), (5, 4, 6))
    axes = [cell_centres(h, n) for h, n in zip((2.0, 1.0, 0.5), (5, 4, 6), strict=True)]
    mesh = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    np.testing.assert_allclose(found, 0.7 * np.linalg.norm(mesh, axis=-1), rtol=1e-6)


def test_fine_structure_on_coarse_cells_is_not_lost():
    """Twelve waves across the box, four cells."""
    order, half_widths = (12, 12), (1.0, 1.0)
    modes = fourier_modes(order)
    cos, sin = 0.1 * np.random.default_rng(0).standard_normal((2, len(modes)))
    field = FourierField(order, half_widths, cos, sin)
    found = cell_extinctions(field, half_widths, (4, 4))
    np.testing.assert_allclose(found, one_by_one(field, half_widths, (4, 4)), rtol=1e-3)


def test_what_is_dear_on_grids_is_left_to_others():
    assert is_cheap_on_grids(EXAMPLES["sum 3-D"][0])
    assert not is_cheap_on_grids(network())
    assert not is_cheap_on_grids(structured())
