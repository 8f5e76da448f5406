"""Stars shared out over devices: the same numbers as on one, in shares that are really parts."""

import json
import os
import subprocess
import sys
from unittest.mock import Mock

import numpy as np
import pytest
from jax.sharding import Mesh

from dust3d.inference.devices import even_rows, rows_by_device, shares, star_mesh

CODE = """
import json, sys
from dust3d import runtime
runtime.configure()
import equinox as eqx, jax, numpy as np
from jax.flatten_util import ravel_pytree
from tests.inference.small import FULL_LIKELIHOOD, fit_settings, observations, white
from dust3d.inference.adam import Adam
from dust3d.inference.batches import batch_rows
from dust3d.inference.build import batches_for, target_for
from dust3d.inference.devices import shares, star_mesh

found = {"devices": shares(star_mesh())}
for method in ("production", "exact", "reference"):
    rays = {"method": method, "production": {"oversampling": 4},
            "reference": {"rtol": 1e-9, "atol": 1e-11}}
    likelihood = {} if method == "reference" else FULL_LIKELIHOOD
    settings = fit_settings(rays=rays, likelihood=likelihood)
    stars = observations(11)
    target = target_for(settings, 2, 1, settings.dtype)
    batches = batches_for(settings, stars, batch_rows(11, 4, np.random.default_rng(3)))
    adam = Adam(target, batches, settings.adam)
    xi = white(target.start(jax.random.key(0)))
    flat, unravel = ravel_pytree(xi)
    state, values = adam.start(xi), []
    for number, batch in enumerate([2, 0, 1]):
        xi, state, loss, _ = adam.step(xi, state, batch, number)
        values.append(float(loss))
    found[method] = values + np.asarray(ravel_pytree(xi)[0]).tolist()
    _, _, measured = batches.at(0)
    found["share"] = measured.sigma.addressable_shards[0].data.shape[0]
    if method == "reference":
        continue

    def means(flat, rays, batch):
        return rays.moments(target.prior.field(unravel(flat)["field"]), batch, True)[0]

    @eqx.filter_jit
    def metric(flat, direction, rays, batch):
        some = lambda flat: means(flat, rays, batch)
        _, forward = jax.jvp(some, (flat,), (direction,))
        _, pull = jax.vjp(some, flat)
        _, linear = jax.linearize(some, flat)
        back = jax.linear_transpose(linear, direction)(forward)[0]
        return pull(forward)[0], back

    rays, batch, _ = batches.at(1)
    both = metric(flat, 1 + flat**2, rays, batch)
    found[method + " metric"] = np.concatenate(both).tolist()
# large arrays take a thread of XLA's on their way to the host, while the other device waits
fine = fit_settings(rays={"production": {"oversampling": 20}})
target = target_for(fine, 2, 1, fine.dtype)
batches = batches_for(fine, stars, batch_rows(11, 11, np.random.default_rng(3)))
gradient = eqx.filter_jit(jax.value_and_grad(target.log_likelihood))
value, slope = gradient(target.start(jax.random.key(0)), *batches.at(0))
found["fine"] = [float(value), *np.asarray(ravel_pytree(slope)[0]).tolist()]
json.dump(found, sys.stdout)
"""


def start(number: int, repository) -> subprocess.Popen:
    """A process with so many devices."""
    environment = os.environ | {
        "DUST3D_CPU_DEVICES": str(number),
        "PYTHONPATH": os.pathsep.join([str(repository), str(repository / "src")]),
        "JAX_COMPILATION_CACHE_DIR": str(repository / ".jax_cache"),
    }
    return subprocess.Popen(
        [sys.executable, "-c", CODE],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen) -> dict:
    """What it found."""
    try:
        # devices that wait for each other wait for ever
        out, errors = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, errors[-3000:]
    return json.loads(out)


def test_two_devices_give_the_same_fit_as_one(repository):
    one, two = map(end, [start(number, repository) for number in (1, 2)])
    assert (one.pop("devices"), two.pop("devices")) == (1, 2)
    # 11 stars in batches of 4: two for each device
    assert (one.pop("share"), two.pop("share")) == (4, 2)
    assert one.keys() == two.keys()
    for name, values in one.items():
        scale = np.abs(values).max()
        np.testing.assert_allclose(two[name], values, rtol=0, atol=1e-9 * scale, err_msg=name)


def test_shares_are_equal_and_hold_every_star_once():
    three = Mock(spec=Mesh, size=3)
    rows = np.arange(8).reshape(2, 4)
    even = even_rows(rows, three)
    np.testing.assert_array_equal(even, [[0, 1, 2, 3, -1, -1], [4, 5, 6, 7, -1, -1]])
    parts = rows_by_device(even, three)
    expected = [[0, 1], [4, 5], [2, 3], [6, 7], [-1, -1], [-1, -1]]
    np.testing.assert_array_equal(parts, expected)


def test_one_device_is_no_mesh():
    assert star_mesh() is None
    assert shares(None) == 1
    rows = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(even_rows(rows, None), rows)
    np.testing.assert_array_equal(rows_by_device(rows, None), rows)


@pytest.mark.parametrize("given", [None, 2])
def test_devices_are_set_before_jax_starts(given):
    code = (
        f"from dust3d import runtime\nruntime.configure(cpu_devices={given})\n"
        "import jax\nprint(jax.device_count())"
    )
    environment = os.environ | {"DUST3D_CPU_DEVICES": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(given or 3)
