"""The mean of ln rho: a constant, or a vertical profile."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dust3d.fields.base import Field, register_field
from dust3d.splines import clamped_spline, evaluate_spline


@register_field
class ConstantMean(Field):
    """ln rho is the same everywhere.

    Parameters
    ----------
    ln_density
        ln(rho / (mag / kpc)), a scalar.
    """

    ln_density: Float[Array, ""]

    def __init__(self, ln_density):
        self.ln_density = jnp.asarray(ln_density)

    def __call__(self, position: Float[Array, " ndim"]) -> Float[Array, ""]:
        """ln rho at one position [kpc]."""
        return self.ln_density + 0 * position[0]

    def on_grid(self, axes: Sequence[Float[Array, " _"]]) -> Float[Array, "..."]:
        """ln rho on the grid spanned by coordinate arrays [kpc]."""
        return jnp.broadcast_to(self.ln_density, [len(a) for a in axes])


@register_field
class VerticalMean(Field):
    """ln rho is a cubic spline of |z + z0|, flat in the plane and linear beyond the last knot.

    Parameters
    ----------
    knots
        Heights of the knots [kpc], from 0, rising.
    ln_density
        ln rho at the knots.
    offset
        z0 [kpc], the height of the Sun above the dust's plane.

    Raises
    ------
    ValueError
        If the knots do not rise from 0, have not one value each, or positions have no z.
    """

    knots: tuple[float, ...] = eqx.field(static=True)
    ln_density: Float[Array, " n"]
    offset: Float[Array, ""]

    def __init__(self, knots, ln_density, offset):
        self.knots = tuple(float(k) for k in knots)
        self.ln_density = jnp.asarray(ln_density)
        self.offset = jnp.asarray(offset)
        steps = np.diff(self.knots)
        if len(steps) == 0 or self.knots[0] != 0 or not np.all(steps > 0):
            raise ValueError(f"knots must rise from 0, at least two of them, not {self.knots}")
        if self.ln_density.shape != (len(self.knots),):
            raise ValueError(f"{len(self.knots)} knots need as many values of ln rho")

    def profile(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        """Mean ln rho at heights z [kpc] from the Sun."""
        knots = np.asarray(self.knots)
        second = clamped_spline(knots, self.ln_density)
        height = jnp.abs(z + self.offset)
        return evaluate_spline(knots, self.ln_density, second, height)

    def __call__(self, position: Float[Array, " ndim"]) -> Float[Array, ""]:
        """ln rho at one position [kpc]."""
        _check_3d(position.shape[0])
        return self.profile(position[2])

    def on_grid(self, axes: Sequence[Float[Array, " _"]]) -> Float[Array, "..."]:
        """ln rho on the grid spanned by coordinate arrays [kpc]."""
        _check_3d(len(axes))
        return jnp.broadcast_to(self.profile(axes[2]), [len(a) for a in axes])


def _check_3d(ndim: int) -> None:
    # JAX reads an axis that is not there as the last one
    if ndim != 3:
        raise ValueError(f"a vertical profile needs 3-D positions, not {ndim}-D; use a constant")
