"""Samples of a posterior on disk: read as written, damage and strangers refused."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from tests.fields.examples import HALF_WIDTHS, fourier, vertical

from dust3d.errors import ProductError
from dust3d.fields.fourier import FourierField, fourier_modes
from dust3d.fields.mean import ConstantMean
from dust3d.fields.sum import SumField
from dust3d.io.samples import PriorVariance, Samples, joined_samples, load_samples, save_samples

ORDER = (2, 2, 1)


def made(number, seed=0, mean=None):
    """Some random samples."""
    generator = np.random.default_rng(seed)
    size = len(fourier_modes(ORDER, False))
    fields = [
        SumField(
            (
                FourierField(ORDER, HALF_WIDTHS, *generator.standard_normal((2, size)), ball=False),
                mean or ConstantMean(jnp.asarray(generator.standard_normal())),
            )
        )
        for _ in range(number)
    ]
    likelihood = {
        "error_inflation": generator.uniform(1, 2, number),
        "zero_points_mag": generator.normal(0, 0.1, (number, 2)),
    }
    solutions = {"products": np.arange(number), "missed": np.full(number, 1e-4)}
    prior = PriorVariance(np.linspace(-1, 1, 5), np.full(5, 2.0), 0.5)
    attrs = {"name": "fourier-2x2x1", "provenance": {"inputs": {"fit": "abc"}}}
    return Samples(fields, likelihood, ("A", "F"), prior, solutions, attrs)


@pytest.fixture
def path(tmp_path):
    save_samples(tmp_path / "samples.h5", made(5))
    return tmp_path / "samples.h5"


def test_samples_are_read_as_written(path):
    samples, found = made(5), load_samples(path, made(1).fields[0])
    assert len(found) == 5
    places = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (7, 3)))
    for a, b in zip(samples.fields, found.fields, strict=True):
        np.testing.assert_array_equal(a.at(places), b.at(places))
    for name, values in (samples.likelihood | samples.solutions).items():
        np.testing.assert_array_equal(values, (found.likelihood | found.solutions)[name])
    assert found.class_names == ("A", "F")
    assert found.of_fit == "abc"
    assert found.prior.beyond == 0.5
    np.testing.assert_array_equal(found.prior.resolved, samples.prior.resolved)


def test_parts_are_joined_in_their_order(tmp_path):
    parts = [made(3, 1), made(2, 2)]
    joined = joined_samples(parts, {"name": "all"})
    save_samples(tmp_path / "samples.h5", joined)
    found = load_samples(tmp_path / "samples.h5", made(1).fields[0])
    assert len(found) == 5
    np.testing.assert_array_equal(found.fields[3].parts[0].cos, parts[1].fields[0].parts[0].cos)
    np.testing.assert_array_equal(
        found.likelihood["error_inflation"][3:], parts[1].likelihood["error_inflation"]
    )


@pytest.mark.parametrize(
    "like",
    [
        fourier(),
        SumField((made(1).fields[0].parts[0], vertical())),
    ],
    ids=["another order", "another mean"],
)
def test_samples_of_another_field_are_refused(path, like):
    with pytest.raises(ProductError, match=r"samples\.h5: samples of another field"):
        load_samples(path, like)


def test_samples_that_are_not_finite_are_refused(tmp_path):
    samples = made(3)
    bad = replace(samples, likelihood=samples.likelihood | {"error_inflation": np.full(3, np.nan)})
    save_samples(tmp_path / "samples.h5", bad)
    with pytest.raises(ProductError, match="error_inflation has values that are not finite"):
        load_samples(tmp_path / "samples.h5", samples.fields[0])


@pytest.mark.parametrize("place", [100, 3000, -200])
def test_flipped_bytes_are_noticed(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ProductError, match=r"samples\.h5"):
        load_samples(path, made(1).fields[0])
