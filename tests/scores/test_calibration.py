"""The posterior predictive distribution of stars, against loops over samples."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from dust3d.config.model import Likelihood, Parameter
from dust3d.distances import cell_shares, distance_cells
from dust3d.fields.fourier import FourierField, fourier_modes
from dust3d.fields.mean import ConstantMean
from dust3d.fields.sum import SumField
from dust3d.io.samples import PriorVariance, Samples
from dust3d.observations import Observations
from dust3d.rays.gridded import GriddedField, grid_for_field
from dust3d.rays.nodes import density_at
from dust3d.rays.quadrature import legendre_nodes
from dust3d.scores.calibration import measured_calibration, posterior_predictive
from dust3d.scores.family import Family
from dust3d.scores.mixture import Mixture
from dust3d.scores.predict import predict

HALF, ORDER, NUMBER = (1.0, 1.0), (2, 2), 5
SETTINGS = Likelihood(
    kind="student_t",
    floor_mag=Parameter(median=0.02),
    substructure_kpc=Parameter(median=0.01),
    zero_point_std_mag=0.02,
)


@pytest.fixture(scope="module")
def samples():
    generator = np.random.default_rng(0)
    n = len(fourier_modes(ORDER))
    fields = [
        SumField(
            (
                FourierField(ORDER, HALF, *0.2 * generator.normal(size=(2, n))),
                ConstantMean(jnp.asarray(0.3)),
            )
        )
        for _ in range(NUMBER)
    ]
    likelihood = {
        "error_inflation": np.exp(0.2 * generator.normal(size=NUMBER)),
        "floor_mag": np.exp(0.2 * generator.normal(size=NUMBER) - 3),
        "substructure_kpc": np.exp(0.2 * generator.normal(size=NUMBER) - 4),
        "zero_points_mag": 0.05 * generator.normal(size=(NUMBER, 2)),
    }
    prior = PriorVariance(np.zeros(1), np.ones(1), 0.0)
    return Samples(fields, likelihood, ("A", "F"), prior, {}, {"name": "fourier-2x2"})


def stars(number, seed=1):
    generator = np.random.default_rng(seed)
    # classes in another order than the fit knew them, and one that it did not
    return Observations(
        generator.uniform(-0.8, 0.8, (number, 2)),
        generator.uniform(0, 2, number),
        generator.uniform(0.02, 0.1, number),
        np.arange(number) % 3,
        ("F", "K", "A"),
    )


def test_each_sample_has_its_own_field_scatter_and_zero_points(samples):
    some = stars(12)
    seen = []
    mixture = posterior_predictive(
        samples, HALF, some, SETTINGS, [lambda field, gridded, a: seen.append((field, gridded, a))]
    )
    assert mixture.family == Family(4.0)
    np.testing.assert_allclose(mixture.shares, 1 / NUMBER)
    t, w = legendre_nodes(60)
    for i, field in enumerate(samples.fields):
        one = {name: values[i] for name, values in samples.likelihood.items()}
        zero_points = {"A": one["zero_points_mag"][0], "F": one["zero_points_mag"][1], "K": 0.0}
        for j, place in enumerate(some.positions):
            density = density_at(field, t[:, None] * place)
            distance = np.linalg.norm(place)
            extinction, second = distance * density @ w, distance * density**2 @ w
            zero = zero_points[some.class_names[some.classes[j]]]
            assert mixture.mean[i, j] == pytest.approx(extinction + zero, rel=1e-3)
            variance = (one["error_inflation"] * some.sigma[j]) ** 2 + one["floor_mag"] ** 2
            variance += one["substructure_kpc"] * second
            assert mixture.scale[i, j] == pytest.approx(np.sqrt(variance), rel=1e-3)
            assert seen[i][2][j] == pytest.approx(extinction, rel=1e-3)
        assert seen[i][0] is field


@pytest.mark.parametrize(("width", "holds"), [(1.0, True), (0.6, False)])
def test_stars_drawn_from_the_mixture_are_found_calibrated(samples, width, holds):
    """Measured by a sample of their own each; where the scatter is less than stated, not."""
    some = stars(3000)
    mixture = posterior_predictive(samples, HALF, some, SETTINGS)
    generator = np.random.default_rng(2)
    which, each = generator.integers(NUMBER, size=len(some)), np.arange(len(some))
    noise = generator.standard_t(4, len(some)) * mixture.scale[which, each]
    observed = mixture.mean[which, each] + noise / width
    measured = Observations(some.positions, observed, some.sigma, some.classes, some.class_names)
    found = measured_calibration(mixture, measured, each)
    assert (found["pit"]["p"] > 0.01) is holds
    for share in (0.68, 0.95):
        entry = found["coverage"]["heldout"][f"{100 * share:.0f}"]
        error = np.sqrt(share * (1 - share) / len(some))
        if holds:
            assert entry["standard_error"] == pytest.approx(error, rel=0.1)
        assert bool(abs(entry["share"] - share) < 4 * error) is holds


def test_distances_are_averaged_over_beside_the_samples(samples):
    some = stars(12)
    cells = distance_cells(1 / some.distances, 0.1 / some.distances, 0.3, 3).within(some.distances)
    some, seen = replace(some, cells=cells), []
    mixture = posterior_predictive(
        samples, HALF, some, SETTINGS, [lambda field, gridded, a: seen.append(a)]
    )
    assert mixture.mean.shape == mixture.scale.shape == (3 * NUMBER, 12)
    np.testing.assert_allclose(mixture.shares, np.tile(cell_shares(3), NUMBER) / NUMBER)
    known = posterior_predictive(samples, HALF, replace(some, cells=None), SETTINGS)
    # the last cell was moved to the star itself, and has no spread
    np.testing.assert_allclose(mixture.mean[2::3], known.mean, rtol=1e-3)
    np.testing.assert_allclose(mixture.scale[2::3], known.scale, rtol=1e-3)
    assert np.all(mixture.mean[0::3] < mixture.mean[1::3])
    # whoever watches is told of the extinction at the stars
    zero = known.mean[0] - seen[0]
    assert np.all(np.abs(zero) < 0.5)
    likelihood = {name: values[0] for name, values in samples.likelihood.items()}
    zero_points = dict(zip(("A", "F"), likelihood.pop("zero_points_mag"), strict=True))
    summary = likelihood | {"zero_points_mag": zero_points}
    field = samples.fields[0]
    gridded = GriddedField(field, grid_for_field(field, HALF))
    found = predict(gridded, some, SETTINGS, summary)
    first = Mixture(mixture.family, cell_shares(3), mixture.mean[:3], mixture.scale[:3])
    np.testing.assert_allclose(found.log_density, first.log_density(some.extinction), rtol=1e-6)
    np.testing.assert_allclose(found.mean, cell_shares(3) @ mixture.mean[:3], rtol=1e-6)
    assert found.outlier is not None
    assert np.all((found.outlier >= 0) & (found.outlier <= 1))
