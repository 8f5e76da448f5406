"""Extinctions along common sightlines against those one by one."""

import jax.numpy as jnp
import numpy as np
import pytest
from tests.fields.examples import EXAMPLES, HALF_WIDTHS, fourier

from dust3d.fields.mean import ConstantMean
from dust3d.fields.structured import Filaments, StructuredField
from dust3d.rays import converged, shared
from dust3d.rays.converged import converged_extinctions, nodes_that_hit
from dust3d.rays.nodes import extinctions
from dust3d.rays.shared import shared_rays


def along_rays(ndim=3, rays=7, each=40):
    """Positions on a few rays, in no order."""
    rng = np.random.default_rng(2)
    directions = rng.normal(size=(rays, ndim))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    reach = np.min(np.asarray(HALF_WIDTHS[:ndim]) / np.abs(directions), axis=1)
    places = directions[:, None] * (reach[:, None] * rng.uniform(0, 1, (rays, each)))[..., None]
    return rng.permutation(places.reshape(-1, ndim))


def settled(field, positions, tolerance=1e-7, **options):
    found = {"batch": 64, "most_nodes": 1 << 13, "report": lambda *_: None} | options
    return converged_extinctions(field, positions, tolerance, **found)


@pytest.mark.parametrize("name", ["Fourier 2-D", "sum 3-D", "network 3-D", "structured 3-D"])
def test_values_are_those_one_by_one(name, monkeypatch):
    field, ndim = EXAMPLES[name]
    positions = along_rays(ndim)
    together = settled(field, positions)
    np.testing.assert_allclose(together, extinctions(field, positions, 256), rtol=0, atol=2e-7)
    monkeypatch.setattr(converged, "shared_rays", lambda _: None)
    np.testing.assert_allclose(settled(field, positions), together, rtol=0, atol=2e-7)


def test_one_integration_serves_a_direction(monkeypatch):
    points = 0

    def counted(field, places, evaluator=None):
        nonlocal points
        points += len(places)
        return np.exp(np.asarray(field.at(jnp.asarray(places), evaluator)))

    monkeypatch.setattr("dust3d.rays.nodes.density_at", counted)
    monkeypatch.setattr(shared, "density_at", counted)
    positions = along_rays(rays=3, each=500)
    settled(fourier(), positions, batch=1 << 14)
    together, points = points, 0
    monkeypatch.setattr(converged, "shared_rays", lambda _: None)
    settled(fourier(), positions, batch=1 << 14)
    assert together < points / 100


def test_chunks_change_nothing(monkeypatch):
    positions = along_rays()
    whole = settled(fourier(), positions)
    monkeypatch.setattr(shared, "_NODES_PER_CHUNK", 100)
    monkeypatch.setattr(shared, "_VALUES_PER_CHUNK", 7)
    np.testing.assert_allclose(settled(fourier(), positions), whole, rtol=0, atol=1e-12)


def test_directions_are_told_apart_and_the_sun_has_none():
    positions = along_rays(rays=5, each=4)
    found = shared_rays(positions)
    assert found is not None
    assert len(found.reach) == 5
    np.testing.assert_allclose(
        found.distance[:, None] * found.directions[found.ray], positions, atol=1e-12
    )
    assert np.all(found.distance <= found.reach[found.ray])
    assert shared_rays(np.random.default_rng(0).normal(size=(50, 3))) is None
    near = np.array([[1.0, 0.0, 0.0], [1.0, 1e-9, 0.0], [2.0, 0.0, 0.0], [2.0, 2e-9, 0.0]])
    assert len(shared_rays(near).reach) == 2
    with_sun = np.concatenate([np.zeros((2, 3)), positions])
    values = settled(fourier(), with_sun)
    assert values[:2].tolist() == [0, 0]
    np.testing.assert_allclose(values[2:], settled(fourier(), positions), atol=1e-12)
    assert settled(fourier(), np.zeros((0, 3))).shape == (0,)
    assert settled(fourier(), np.zeros((2, 3))).tolist() == [0, 0]


def test_no_cloud_on_a_shared_ray_is_missed():
    cloud = Filaments(np.log([60.0]), np.array([[0.5, 0, 0]]), np.zeros((1, 3)), np.array([0.002]))
    field = StructuredField((ConstantMean(np.log(1e-4)),), (cloud,))
    positions = np.linspace(0.1, 1.0, 10)[:, None] * np.array([1.0, 0.0, 0.0])
    column = np.sqrt(2 * np.pi) * 0.002 * 60
    expected = 1e-4 * positions[:, 0] + column * np.where(positions[:, 0] > 0.5001, 1.0, 0.0)
    expected[4] += column / 2
    np.testing.assert_allclose(settled(field, positions, 1e-6), expected, atol=2e-6)


def test_the_first_nodes_are_closer_than_clouds_and_waves():
    place = np.array([[1.0, 0.5, 0.2]])
    cloud = Filaments(np.log([1.0]), np.zeros((1, 3)), np.zeros((1, 3)), np.array([0.01]))
    field = StructuredField((ConstantMean(0.0),), (cloud,))
    assert nodes_that_hit(field, place) >= np.pi / 2 * np.linalg.norm(place) / (2 * 0.01)
    # a wave of order m has m half-waves from the centre to a face
    along = np.array([[HALF_WIDTHS[0], 0.0, 0.0]])
    assert nodes_that_hit(fourier(), along) == pytest.approx(np.pi / 2 * fourier().order[0])
    assert nodes_that_hit(ConstantMean(jnp.asarray(0.0)), place) == 0


def test_batches_report_and_begin_where_the_last_one_ended():
    told = []
    settled(fourier(), along_rays(rays=80, each=1), batch=32, report=lambda *a: told.append(a))
    assert [done for done, _ in told] == [32, 64, 80]
    nodes = [some.nodes for _, some in told]
    assert nodes == sorted(nodes)
