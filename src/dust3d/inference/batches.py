"""Stars in batches of one size, and the sightlines to them by each of the three paths."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dust3d.config.model import ReferenceRays
from dust3d.fields.base import Field
from dust3d.inference.likelihood import Stars
from dust3d.observations import Observations
from dust3d.rays import nodes as exact
from dust3d.rays import ode
from dust3d.rays.grid import Grid, ln_density_on
from dust3d.rays.product import RayMatrix, ResidentRays
from dust3d.rays.weights import ray_weights


def batch_rows(n: int, batch: int, generator: np.random.Generator) -> np.ndarray:
    """Rows of each batch in random order, shape (batches, size); -1 fills the last one up."""
    batches = max(1, int(np.ceil(n / batch)))
    size = int(np.ceil(n / batches))
    rows = np.full(batches * size, -1)
    rows[:n] = generator.permutation(n)
    return rows.reshape(batches, size)


def stars_of(observations: Observations, rows: np.ndarray, dtype: jnp.dtype) -> Stars:
    """The measured stars of all batches, arrays of shape (batches, size)."""
    return Stars(
        jnp.asarray(observations.extinction[rows], dtype),
        jnp.asarray(observations.sigma[rows], dtype),
        jnp.asarray(observations.classes[rows], jnp.int32),
        jnp.asarray(rows >= 0, dtype),
    )


class GridSightlines:
    """Production rays: the density on a grid, times a sparse matrix per batch."""

    def __init__(
        self, positions: np.ndarray, rows: np.ndarray, grid: Grid, step_voxels: float, dtype
    ):
        self.batches, self.grid, self.dtype = len(rows), grid, dtype
        weights = ray_weights(positions, grid, step_voxels)
        self.matrix = RayMatrix(ResidentRays(weights[batch] for batch in rows))

    def moments(
        self, field: Field, batch: Int[Array, ""], second: bool
    ) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """int rho ds and int rho^2 ds along the rays of one batch."""
        density = jnp.exp(ln_density_on(field, self.grid, self.dtype)).reshape(-1)
        if not second:
            first = self.matrix(batch, density[:, None])[:, 0]
            return first, jnp.zeros_like(first)
        both = self.matrix(batch, jnp.stack([density, density**2], axis=1))
        return both[:, 0], both[:, 1]


class NodeSightlines:
    """Exact rays: Gauss-Legendre nodes on each."""

    def __init__(self, positions: np.ndarray, rows: np.ndarray, nodes: int, dtype):
        self.batches, self.nodes = len(rows), nodes
        self.positions = jnp.asarray(positions[rows], dtype)

    def moments(
        self, field: Field, batch: Int[Array, ""], second: bool
    ) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """int rho ds and int rho^2 ds along the rays of one batch."""
        return exact.moments(field, self.positions[batch], nodes=self.nodes)


class OdeSightlines:
    """Reference rays: the neural ODE of each star, solved adaptively."""

    def __init__(self, positions: np.ndarray, rows: np.ndarray, settings: ReferenceRays, dtype):
        self.batches, self.settings = len(rows), settings
        self.positions = jnp.asarray(positions[rows], dtype)

    def moments(
        self, field: Field, batch: Int[Array, ""], second: bool
    ) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """int rho ds, and int rho^2 ds as the extinction of the field 2 ln rho."""
        first = ode.solve(field, self.positions[batch], self.settings)
        if not second:
            return first, jnp.zeros_like(first)
        return first, ode.solve(_Doubled(field), self.positions[batch], self.settings)


class _Doubled(Field):
    """2 ln rho: its extinction is int rho^2 ds."""

    inner: Field

    def __call__(self, position):
        return 2 * self.inner(position)

    def at(self, positions):
        return 2 * self.inner.at(positions)
