"""Stars in batches of one size, and the sightlines to them by each of the three paths.

What differs from batch to batch is an argument of every compiled step, never a
constant of it: `Batches.walk` hands out sightlines, number and stars of each batch.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from dust3d.config.model import ReferenceRays
from dust3d.fields.base import Field
from dust3d.inference.devices import (
    AXIS,
    even_rows,
    over_devices,
    rows_by_device,
    share_out,
    shares,
)
from dust3d.inference.distance_cells import CellSightlines
from dust3d.inference.likelihood import Cells, Stars
from dust3d.inference.target import Sightlines
from dust3d.observations import Observations
from dust3d.rays import nodes as exact
from dust3d.rays import ode
from dust3d.rays.device import DeviceRays, resident_rays
from dust3d.rays.product import RayMatrix
from dust3d.rays.quadrature import Bands, bands_for
from dust3d.rays.scheme import Scheme
from dust3d.rays.weights import ray_blocks
from dust3d.transforms.nonuniform import Evaluator

Batch = tuple[Sightlines, Int[Array, ""], Stars]


def batch_shape(n: int, batch: int) -> tuple[int, int]:
    """Number and size of the batches of n stars, at most `batch` in each."""
    batches = max(1, int(np.ceil(n / batch)))
    return batches, int(np.ceil(n / batches))


def batch_order(n: int, generator: np.random.Generator) -> np.ndarray:
    """All rows in random order, in half the memory of 64-bit numbers where they fit."""
    return generator.permutation(np.arange(n, dtype=np.int32 if n < 1 << 31 else np.int64))


def rows_in_order(n: int, batch: int) -> np.ndarray:
    """Rows of each batch as they stand, shape (batches, size); -1 fills the last one up."""
    shape = batch_shape(n, batch)
    rows = np.full(shape, -1)
    rows.reshape(-1)[:n] = np.arange(n)
    return rows


def batch_rows(n: int, batch: int, generator: np.random.Generator) -> np.ndarray:
    """Rows of each batch in random order, shape (batches, size); -1 fills the last one up."""
    rows = rows_in_order(n, batch)
    rows.reshape(-1)[:n] = batch_order(n, generator)
    return rows


def stars_of(observations: Observations, rows: np.ndarray, dtype: jnp.dtype) -> Stars:
    """The measured stars of all batches, arrays of shape (batches, size)."""
    cells = observations.cells
    if cells is not None:
        both = (cells.distance[rows], cells.spread[rows])
        cells = Cells(*(jnp.asarray(values, dtype) for values in both))
    return Stars(
        jnp.asarray(observations.extinction[rows], dtype),
        jnp.asarray(observations.sigma[rows], dtype),
        jnp.asarray(observations.classes[rows], jnp.int32),
        jnp.asarray(rows >= 0, dtype),
        cells,
    )


@runtime_checkable
class StarBatches(Protocol):
    """Measured stars in `count` batches of one `size`, and `rays` to them.

    Of several processes each has its share of every batch; `number` counts the stars of all.
    """

    count: int
    size: int
    number: int

    @property
    def rays(self) -> Sightlines:
        """The sightlines."""
        ...

    def stars(self, batch: int) -> Stars:
        """The measured stars of one batch, arrays of shape (size,); weight 0 fills up."""
        ...

    def prefetch(self, batch: int) -> None:
        """Begin to make a batch ready."""
        ...

    def at(self, batch: int) -> Batch:
        """Sightlines, the number of the batch among them, and stars: arguments of a step."""
        ...

    def walk(self, order: Iterable[int] | None = None) -> Iterator[Batch]:
        """All batches, in a given order or as they come, the next one being made ready."""
        ...

    def release(self) -> None:
        """Let go of the sightlines, which will not be used again."""
        ...


def walk_batches(batches: StarBatches, order: Iterable[int] | None) -> Iterator[Batch]:
    """All batches, in a given order or as they come, the next one being made ready."""
    numbers = list(range(batches.count) if order is None else order)
    for batch, following in zip(numbers, [*numbers[1:], None], strict=True):
        if following is not None:
            batches.prefetch(following)
        yield batches.at(batch)


class Batches:
    """Measured stars in batches of one size, and the sightlines to them.

    Parameters
    ----------
    rays
        Sightlines to all batches.
    observations
        The stars.
    rows
        Rows of each batch, shape (batches, size); -1 fills up.
    dtype
        Precision of the stars.
    mesh
        The devices that share each batch.
    number
        How many stars there are with those of other processes; none: these are all.
    """

    def __init__(
        self,
        rays: Sightlines,
        observations: Observations,
        rows: np.ndarray,
        dtype: Any,
        mesh: Mesh | None = None,
        number: int | None = None,
    ):
        self._rays, self.number = rays, number or len(observations)
        rows = even_rows(rows, mesh)
        self.count, self.size = rows.shape
        self._stars = [share_out(stars_of(observations, some, dtype), mesh) for some in rows]

    @property
    def rays(self) -> Sightlines:
        """The sightlines."""
        return self._rays

    def stars(self, batch: int) -> Stars:
        """The measured stars of one batch, arrays of shape (size,); weight 0 fills up."""
        return self._stars[batch]

    def release(self) -> None:
        """Let go of the sightlines, which will not be used again."""
        rays = self._rays.rays if isinstance(self._rays, CellSightlines) else self._rays
        if isinstance(rays, GridSightlines):
            rays.release()

    def prefetch(self, batch: int) -> None:
        """Begin to make a batch ready; all of these are."""

    def at(self, batch: int) -> Batch:
        """Sightlines, the number of the batch among them, and stars: arguments of a step."""
        return self.rays, jnp.asarray(batch), self.stars(batch)

    def walk(self, order: Iterable[int] | None = None) -> Iterator[Batch]:
        """All batches, in a given order or as they come, the next one being made ready."""
        return walk_batches(self, order)


def _places(
    positions: np.ndarray, rows: np.ndarray, dtype: Any, mesh: Mesh | None
) -> Float[Array, "batches size ndim"]:
    """Positions of the stars of each batch."""
    return share_out(jnp.asarray(positions[even_rows(rows, mesh)], dtype), mesh, axis=1)


class GridSightlines(eqx.Module):
    """Production rays: the density on grids, times a sparse matrix per batch."""

    matrix: RayMatrix | DeviceRays
    batches: int = eqx.field(static=True)
    scheme: Scheme = eqx.field(static=True)
    dtype: Any = eqx.field(static=True)
    mesh: Mesh | None = eqx.field(static=True)

    @classmethod
    def resident(
        cls,
        positions: np.ndarray,
        rows: np.ndarray,
        scheme: Scheme,
        dtype: Any,
        mesh: Mesh | None = None,
    ) -> "GridSightlines":
        """All of R in memory, for stars [kpc] and the rows of each batch."""
        parts = rows_by_device(even_rows(rows, mesh), mesh)
        made = (ray_blocks(positions[part], scheme) for part in parts)
        return cls(resident_rays(made), len(rows), scheme, dtype, mesh)

    def moments(
        self, field: Field, batch: Int[Array, ""], second: bool
    ) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """int rho ds and int rho^2 ds along the rays of one batch."""
        found = self._product(batch, self.scheme.densities(field, self.dtype, second))
        first = found[:, 0]
        return first, found[:, 1] if second else jnp.zeros_like(first)

    def release(self) -> None:
        """Let go of R, which will not be used again: it may be most of what a process holds."""
        if isinstance(self.matrix, RayMatrix):
            self.matrix.release()

    def _product(
        self, batch: Int[Array, ""], density: Float[Array, "voxels c"]
    ) -> Float[Array, "n c"]:
        """R rho, each device its own rows."""
        if self.mesh is None:
            return self.matrix(batch, density)
        arrays = eqx.filter(self.matrix, eqx.is_array)
        if jax.tree.leaves(arrays):
            # each device holds its own share of R, which it counts from 0
            return over_devices(
                lambda common, matrix: matrix(*common), self.mesh, (batch, density), self.matrix
            )

        def share(common: tuple[Array, Array], _: None) -> Array:
            batch, density = common
            return self.matrix(jax.lax.axis_index(AXIS) * self.batches + batch, density)

        return over_devices(share, self.mesh, (batch, density))


class NodeSightlines(eqx.Module):
    """Exact rays: Gauss-Legendre nodes on each, fewer on those to near stars.

    Parameters
    ----------
    positions, rows
        Stars [kpc], and the rows of each batch.
    nodes
        Nodes on the longest ray.
    dtype
        Precision.
    mesh
        The devices that share each batch.
    evaluator
        How Fourier series are evaluated.
    """

    positions: Float[Array, "batches size ndim"]
    near_first: Int[Array, "batches size"]
    rank: Int[Array, "batches size"]
    batches: int = eqx.field(static=True)
    nodes: int = eqx.field(static=True)
    bands: Bands = eqx.field(static=True)
    mesh: Mesh | None = eqx.field(static=True)
    evaluator: Evaluator | None = eqx.field(static=True)

    def __init__(
        self,
        positions: np.ndarray,
        rows: np.ndarray,
        nodes: int,
        dtype: Any,
        mesh: Mesh | None = None,
        evaluator: Evaluator | None = None,
    ):
        self.batches, self.nodes = len(rows), nodes
        self.mesh, self.evaluator = mesh, evaluator
        self.positions = _places(positions, rows, dtype, mesh)
        even = even_rows(rows, mesh)
        distance = np.linalg.norm(positions, axis=1)[even].reshape(len(rows), shares(mesh), -1)
        # each device sorts its own share
        order = np.argsort(distance, axis=2)
        rising = np.take_along_axis(distance, order, axis=2)
        self.bands = bands_for(rising.reshape(-1, rising.shape[2]), nodes)
        both = (jnp.asarray(a.reshape(even.shape)) for a in (order, np.argsort(order, axis=2)))
        self.near_first, self.rank = (share_out(a, mesh, axis=1) for a in both)

    def moments(
        self, field: Field, batch: Int[Array, ""], second: bool
    ) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """int rho ds and int rho^2 ds along the rays of one batch."""

        def share(field: Field, stars: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            positions, near_first, rank = stars
            first, second = exact.moments(
                field, positions[near_first], nodes=self.bands, evaluator=self.evaluator
            )
            return first[rank], second[rank]

        stars = (self.positions[batch], self.near_first[batch], self.rank[batch])
        return over_devices(share, self.mesh, field, stars)


class OdeSightlines(eqx.Module):
    """Reference rays: the neural ODE of each star, solved adaptively."""

    positions: Float[Array, "batches size ndim"]
    batches: int = eqx.field(static=True)
    settings: ReferenceRays = eqx.field(static=True)

    def __init__(
        self,
        positions: np.ndarray,
        rows: np.ndarray,
        settings: ReferenceRays,
        dtype: Any,
        mesh: Mesh | None = None,
    ):
        self.batches, self.settings = len(rows), settings
        self.positions = _places(positions, rows, dtype, mesh)

    def moments(
        self, field: Field, batch: Int[Array, ""], second: bool
    ) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """int rho ds, and int rho^2 ds as the extinction of the field 2 ln rho."""
        # one step size for all rays: XLA shares the work out by where the positions lie
        first = ode.solve(field, self.positions[batch], self.settings)
        if not second:
            return first, jnp.zeros_like(first)
        return first, ode.solve(_Doubled(field), self.positions[batch], self.settings)


class _Doubled(Field):
    """2 ln rho: its extinction is int rho^2 ds."""

    inner: Field

    def __call__(self, position):
        return 2 * self.inner(position)

    def at(self, positions, evaluator=None):
        return 2 * self.inner.at(positions, evaluator)
