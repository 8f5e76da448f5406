"""The numbers whose ranks are taken: of the field, of its likelihood, at places of its box."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from dust3d.calibration.tabulated import TabulatedSightlines, ln_density_at, waves_at
from dust3d.config.base import Box
from dust3d.inference.prior import Xi
from dust3d.inference.target import Target

_NAMED = {"near": 0.15, "middle": 0.4, "far": 0.75}
# of the shortest half-width: the sphere about the Sun
_SPHERE = 0.6
_SPHERE_CELLS = 12


class Found(NamedTuple):
    """Scalars by name, and ln rho and extinctions [mag] at places; first axis: samples."""

    scalars: dict[str, np.ndarray]
    ln_density: np.ndarray
    extinction: np.ndarray


def named_places(box: Box) -> Float[np.ndarray, "3 ndim"]:
    """A near, a middle and a far place [kpc] in one direction, on no axis of the box."""
    towards = np.array([1.0, -0.7, 0.5])[: box.ndim] * np.asarray(box.half_widths_kpc)
    return np.array(list(_NAMED.values()))[:, None] * towards


def _ball(box: Box) -> tuple[Float[np.ndarray, "n ndim"], float]:
    """Cell centres inside a sphere (in two dimensions, a circle), and the volume of a cell."""
    radius = _SPHERE * min(box.half_widths_kpc)
    axis = (np.arange(_SPHERE_CELLS) + 0.5) / _SPHERE_CELLS * 2 - 1
    mesh = np.stack(np.meshgrid(*[axis] * box.ndim, indexing="ij"), axis=-1).reshape(-1, box.ndim)
    inside = mesh[np.sum(mesh**2, axis=1) < 1]
    return radius * inside, (2 * radius / _SPHERE_CELLS) ** box.ndim


class Scalars:
    """From whitened parameters to scalars and values at places.

    Parameters
    ----------
    target, like
        The posterior, and whitened parameters, for their structure.
    box
        Of the field.
    places
        Where ln rho and extinctions are wanted [kpc].
    nodes
        Nodes on the rays to them.
    """

    def __init__(self, target: Target, like: Xi, box: Box, places: np.ndarray, nodes: int):
        _, self._unravel = ravel_pytree(like)
        self._target, prior = target, target.prior.parts["varying"]
        ends = np.concatenate([named_places(box), places])
        ball, self._cell = _ball(box)
        self._rays = TabulatedSightlines(ends, nodes, prior)
        self._points = jnp.asarray(np.concatenate([ends, ball]))
        self._ends, self._waves = len(ends), waves_at(prior, self._points)
        self._all = eqx.filter_jit(lambda flats: jax.lax.map(self._of, flats))

    def _of(self, flat: Float[Array, " p"]) -> tuple[dict[str, Array], Array, Array]:
        xi = self._unravel(flat)
        field = self._target.prior.field(xi["field"])
        everywhere = ln_density_at(field, self._points, self._waves)
        ln_density, in_ball = everywhere[: self._ends], everywhere[self._ends :]
        extinction, _ = self._rays.moments(field, jnp.asarray(0), False)
        found = {}
        for number, name in enumerate(_NAMED):
            found[f"ln_density_{name}"] = ln_density[number]
            found[f"ln_extinction_{name}"] = jnp.log(extinction[number])
        found["ln_mass"] = jnp.log(self._cell * jnp.sum(jnp.exp(in_ball)))
        found["mean_ln_density"] = field.parts[1].at(jnp.zeros_like(self._points[:1]))[0]
        series = xi["field"]["varying"]
        found["lowest_mode"], found["highest_mode"] = series["cos"][0], series["sin"][-1]
        nuisance = self._target.likelihood.nuisance(xi["likelihood"])
        for name in xi["likelihood"]:
            if name == "zero_points":
                found["zero_point_mag"] = nuisance.zero_points_mag[0]
            else:
                found[f"ln_{name}"] = jnp.log(getattr(nuisance, name))
        return found, ln_density[len(_NAMED) :], extinction[len(_NAMED) :]

    def of(self, flats: Float[Array, "s p"]) -> Found:
        """Those of some whitened parameters."""
        scalars, *others = jax.device_get(self._all(flats))
        return Found(dict(scalars), *others)
