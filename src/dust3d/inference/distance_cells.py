"""Sightlines to stars whose distances are uncertain: one ray to each cell of their posteriors."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from dust3d.fields.base import Field
from dust3d.inference.devices import even_rows
from dust3d.inference.target import Sightlines

MakeSightlines = Callable[[np.ndarray, np.ndarray], Sightlines]


class CellSightlines(eqx.Module):
    """Sightlines, of which so many that follow each other belong to one star.

    Parameters
    ----------
    rays
        The sightlines, all of a star together, the shortest first.
    cells
        How many each star has.
    """

    rays: Sightlines
    cells: int = eqx.field(static=True)
    batches: int = eqx.field(static=True)

    def __init__(self, rays: Sightlines, cells: int):
        self.rays, self.cells, self.batches = rays, cells, rays.batches

    def moments(
        self, field: Field, batch: Int[Array, ""], second: bool
    ) -> tuple[Float[Array, "n cells"], Float[Array, "n cells"]]:
        """int rho ds and int rho^2 ds out to each cell of the stars of one batch."""
        found, squared = self.rays.moments(field, batch, second)
        shape = (-1, self.cells)
        return jnp.reshape(found, shape), jnp.reshape(squared, shape)


def sightlines_to(
    ends: np.ndarray, rows: np.ndarray, mesh: Mesh | None, make: MakeSightlines
) -> Sightlines:
    """Sightlines to stars in batches.

    Parameters
    ----------
    ends
        Where the rays end [kpc], as of `Observations.ends`.
    rows
        Rows of each batch, shape (batches, size); -1 fills up.
    mesh
        The devices that share each batch: all rays of a star belong to one of them.
    make
        From positions (m, ndim) and rows of them to sightlines.
    """
    if ends.ndim == 2:
        return make(ends, rows)
    cells, ndim = ends.shape[1:]
    # -1, the last star, has the last rays
    each = even_rows(rows, mesh)[..., None] * cells + np.arange(cells)
    return CellSightlines(make(ends.reshape(-1, ndim), each.reshape(len(rows), -1)), cells)
