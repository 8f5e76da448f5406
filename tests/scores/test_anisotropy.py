"""The radial excess against fields whose value is known."""

import numpy as np
import pytest

from dust3d.scores.anisotropy import radial_excess
from dust3d.transforms.grid import cell_centres

AXES = [cell_centres(1.0, 40)] * 3
MESH = np.meshgrid(*AXES, indexing="ij")
R = np.sqrt(sum(x**2 for x in MESH))


def isotropic_noise(shape, seed, scale=4.0):
    """Gaussian noise whose power depends on |k| alone."""
    k = np.sqrt(sum(np.square(i) for i in np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in shape))))
    white = np.fft.fftn(np.random.default_rng(seed).normal(size=shape))
    return np.fft.ifftn(white * np.exp(-0.5 * (k / scale) ** 2)).real


def test_a_slope_has_no_direction_of_its_own():
    # <cos^2> = 1/3 over the cube, in every direction
    assert radial_excess(2 * MESH[0] - MESH[1] + 0.3, AXES) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("ndim", [2, 3])
def test_isotropic_noise_gives_one(ndim):
    axes = AXES[:ndim]
    found = [radial_excess(isotropic_noise((40,) * ndim, seed), axes) for seed in range(40)]
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert error < 0.03
    assert np.mean(found) == pytest.approx(1, abs=4 * error)


def test_shells_are_all_radial_and_cones_not_at_all():
    assert radial_excess(np.sin(3 * R), AXES) > 20
    # the same all along a ray, away from the centre where differences are coarse
    cone = MESH[0] / R
    assert radial_excess(cone, AXES, R > 0.5) < 0.01


def test_in_a_narrow_beam_the_ratio_is_that_of_the_slopes():
    axes = [1e4 + AXES[0], *AXES[1:]]
    slope = 3 * axes[0][:, None, None] + 2 * MESH[1] + MESH[2]
    assert radial_excess(slope, axes) == pytest.approx(2 * 9 / 5, rel=1e-3)


def test_only_chosen_cells_count():
    half = np.where(MESH[0] > 0, np.sin(3 * R), MESH[1])
    right = radial_excess(half, AXES, MESH[0] > 0.1)
    assert right == pytest.approx(radial_excess(np.sin(3 * R), AXES, MESH[0] > 0.1))
    assert radial_excess(half, AXES, MESH[0] < -0.1) < 2


def test_the_suns_own_cell_and_fields_without_structure():
    axes = [np.linspace(-1, 1, 21)] * 2
    x, y = np.meshgrid(*axes, indexing="ij")
    assert radial_excess(x + 2 * y, axes) == pytest.approx(1, rel=1e-12)
    assert radial_excess(np.full((21, 21), -13.8), axes) is None
    assert radial_excess(x, axes, np.zeros((21, 21), dtype=bool)) is None
