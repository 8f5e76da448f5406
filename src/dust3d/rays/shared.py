"""Extinctions at many distances along common sightlines: one integration for each direction.

The density on a ray is a polynomial in each of its panels; the extinction at any
distance is the sum over the panels before, and the integral of that polynomial up to
there. Stars that each have a direction of their own are left to `nodes`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from dust3d.fields.base import Field
from dust3d.rays.nodes import density_at
from dust3d.rays.quadrature import legendre_integrals, legendre_nodes, to_legendre
from dust3d.transforms.nonuniform import Evaluator

_PANEL = 16
_NODES_PER_CHUNK = 1 << 20
_VALUES_PER_CHUNK = 1 << 18
# directions that differ by less are one: 1e-10 kpc at 10 kpc
_SAME_DIRECTION = 1e-11
_FEWEST_PER_RAY = 2


@dataclass(frozen=True)
class SharedRays:
    """Positions by direction.

    Parameters
    ----------
    directions
        Unit vectors of the rays.
    reach
        The farthest distance on each ray [kpc].
    ray, distance
        Of each position, its ray and the distance along it [kpc].
    """

    directions: Float[np.ndarray, "r ndim"]
    reach: Float[np.ndarray, " r"]
    ray: Int[np.ndarray, " n"]
    distance: Float[np.ndarray, " n"]

    def extinctions(
        self, field: Field, rows: Int[np.ndarray, " m"], nodes: int, evaluator: Evaluator
    ) -> Float[np.ndarray, " m"]:
        """Extinctions [mag] to some of the positions, with so many nodes on each ray."""
        found = np.empty(len(rows))
        order = np.argsort(self.ray[rows], kind="stable")
        rays, first = np.unique(self.ray[rows[order]], return_index=True)
        ends = np.append(first, len(rows))
        step = max(1, _NODES_PER_CHUNK // nodes)
        for start in range(0, len(rays), step):
            stop = min(start + step, len(rays))
            some = order[ends[start] : ends[stop]]
            place = np.searchsorted(rays[start:stop], self.ray[rows[some]])
            profile = _Profiles.of(self, field, rays[start:stop], nodes, evaluator)
            for low in range(0, len(some), _VALUES_PER_CHUNK):
                part = slice(low, low + _VALUES_PER_CHUNK)
                found[some[part]] = profile.at(place[part], self.distance[rows[some[part]]])
        return found


@dataclass(frozen=True)
class _Profiles:
    """Legendre coefficients of the density in the panels of some rays, and A at their starts."""

    reach: Float[np.ndarray, " r"]
    coefficients: Float[np.ndarray, "r panels size"]
    before: Float[np.ndarray, "r panels"]

    @classmethod
    def of(
        cls,
        shared: SharedRays,
        field: Field,
        rays: Int[np.ndarray, " r"],
        nodes: int,
        evaluator: Evaluator,
    ) -> "_Profiles":
        size = min(_PANEL, nodes)
        panels = -(-nodes // size)
        t, w = legendre_nodes(size)
        along = ((np.arange(panels)[:, None] + t) / panels).ravel()
        reach = shared.reach[rays]
        ends = reach[:, None] * shared.directions[rays]
        points = (along[:, None] * ends[:, None, :]).reshape(-1, ends.shape[1])
        density = density_at(field, points, evaluator).reshape(len(rays), panels, size)
        before = np.cumsum(density @ w, axis=1)
        before = np.concatenate([np.zeros((len(rays), 1)), before[:, :-1]], axis=1)
        return cls(reach, density @ to_legendre(size).T, before)

    def at(
        self, ray: Int[np.ndarray, " n"], distance: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        """Extinctions [mag] at distances [kpc] along these rays."""
        panels, size = self.coefficients.shape[1:]
        place = distance / self.reach[ray] * panels
        panel = np.minimum(place.astype(np.int64), panels - 1)
        integrals = legendre_integrals(size, place - panel)
        inside = np.einsum("nl,nl->n", integrals, self.coefficients[ray, panel])
        return self.reach[ray] / panels * (self.before[ray, panel] + inside)


def shared_rays(positions: Float[np.ndarray, "n ndim"]) -> SharedRays | None:
    """Positions by direction, or none if too few have their direction in common.

    Parameters
    ----------
    positions
        Positions [kpc], none at the Sun.
    """
    distance = np.linalg.norm(positions, axis=1)
    directions = positions / distance[:, None]
    steps = np.round(directions / _SAME_DIRECTION).astype(np.int64)
    # one odd number for each axis: sums that agree by chance are noticed below
    mixed = steps @ np.array([0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35])[: steps.shape[1]]
    _, first, ray = np.unique(mixed, return_index=True, return_inverse=True)
    if len(first) * _FEWEST_PER_RAY > len(positions) or np.any(steps != steps[first[ray]]):
        return None
    reach = np.zeros(len(first))
    np.maximum.at(reach, ray, distance)
    return SharedRays(directions[first], reach, ray, distance)
