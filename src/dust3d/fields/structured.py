"""A known sky outside every model's basis: disc, turbulence, clouds, filaments, cavity."""

from collections.abc import Sequence
from functools import reduce

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dust3d.fields.base import Field, register_field
from dust3d.transforms.nonuniform import Evaluator

_SOFTENING_KPC = 1e-6
_CHUNK_ELEMENTS = 1 << 22


@register_field
class Disc(Field):
    """A sech^2 layer: rho0 sech^2((z - z0) / h); in 2-D, uniform.

    Parameters
    ----------
    ln_midplane
        ln of the density rho0 in the midplane [mag / kpc].
    offset
        Height z0 of the midplane [kpc].
    scale_height
        h [kpc].
    """

    ln_midplane: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    offset: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    scale_height: Float[Array, ""] = eqx.field(converter=jnp.asarray)

    def __call__(self, position: Float[Array, " ndim"]) -> Float[Array, ""]:
        """ln rho at one position [kpc]."""
        if position.shape[0] < 3:
            return self.ln_midplane
        height = (position[2] - self.offset) / self.scale_height
        # ln cosh, without overflow far from the plane
        return self.ln_midplane - 2 * (jnp.logaddexp(height, -height) - jnp.log(2.0))


@register_field
class Cavity(Field):
    """The factor by which a cavity around the Sun thins what it is carved from, as a logarithm.

    interior + (1 - interior) / (1 + exp((R - r) / w)): `interior` inside, 1 outside.

    Parameters
    ----------
    interior
        Density inside over that without the cavity.
    radius
        R [kpc].
    width
        w [kpc].
    """

    interior: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    radius: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    width: Float[Array, ""] = eqx.field(converter=jnp.asarray)

    def __call__(self, position: Float[Array, " ndim"]) -> Float[Array, ""]:
        """ln of the factor at one position [kpc]."""
        outside = jax.nn.sigmoid((_distance(position) - self.radius) / self.width)
        return jnp.log(self.interior + (1 - self.interior) * outside)


@register_field
class Shell(Field):
    """A shell around the Sun: peak exp(-(r - R)^2 / (2 w^2)).

    Parameters
    ----------
    ln_peak
        ln of its highest density [mag / kpc].
    radius
        R [kpc].
    width
        w [kpc].
    """

    ln_peak: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    radius: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    width: Float[Array, ""] = eqx.field(converter=jnp.asarray)

    def __call__(self, position: Float[Array, " ndim"]) -> Float[Array, ""]:
        """ln rho at one position [kpc]."""
        return self.ln_peak - 0.5 * ((_distance(position) - self.radius) / self.width) ** 2


@register_field
class Filaments(Field):
    """A sum of Gaussian tubes about straight segments; segments of no length are clouds.

    rho = sum_i peak_i exp(-d_i^2 / (2 sigma_i^2)), d_i the distance to segment i.

    Parameters
    ----------
    ln_peak
        ln of the density on the axis [mag / kpc], shape (n,).
    middle
        Midpoints of the segments [kpc], shape (n, ndim).
    half
        From each midpoint to an end [kpc], shape (n, ndim); 0 for clouds.
    sigma
        Gaussian sigma across [kpc], shape (n,).

    Raises
    ------
    ValueError
        Without a segment: nothing has no logarithm.
    """

    ln_peak: Float[Array, " n"] = eqx.field(converter=jnp.asarray)
    middle: Float[Array, "n ndim"] = eqx.field(converter=jnp.asarray)
    half: Float[Array, "n ndim"] = eqx.field(converter=jnp.asarray)
    sigma: Float[Array, " n"] = eqx.field(converter=jnp.asarray)

    def __check_init__(self):
        if self.middle.shape[0] == 0:
            raise ValueError("no clouds or filaments: leave the part out")

    def __call__(self, position: Float[Array, " ndim"]) -> Float[Array, ""]:
        """ln rho at one position [kpc]."""
        offset = position - self.middle
        length2 = jnp.sum(self.half**2, axis=-1)
        along = jnp.sum(offset * self.half, axis=-1) / jnp.where(length2 > 0, length2, 1.0)
        nearest = jnp.clip(along, -1.0, 1.0)[:, None] * self.half
        distance2 = jnp.sum((offset - nearest) ** 2, axis=-1)
        return jax.nn.logsumexp(self.ln_peak - 0.5 * distance2 / self.sigma**2)

    def at(
        self, positions: Float[Array, "n ndim"], evaluator: Evaluator | None = None
    ) -> Float[Array, " n"]:
        """ln rho at many positions [kpc]."""
        # every position meets every segment: keep the product of the two in bounds
        chunk = max(1, _CHUNK_ELEMENTS // self.middle.size)
        if positions.shape[0] <= chunk:
            return jax.vmap(self.__call__)(positions)
        return jax.lax.map(self.__call__, positions, batch_size=chunk)


@register_field
class StructuredField(Field):
    """rho = product of `factors` + sum of `added`; ln rho is finite everywhere.

    Parameters
    ----------
    factors
        Fields whose ln rho are summed: the disc, its turbulence, the cavity.
    added
        Fields whose rho are summed to that product: the shell, clouds, filaments.

    Raises
    ------
    ValueError
        Without a factor: between clouds the density would vanish.
    """

    factors: tuple[Field, ...]
    added: tuple[Field, ...] = ()

    def __check_init__(self):
        if not self.factors:
            raise ValueError("a structured field needs at least one factor, such as a Disc")

    @property
    def finest_kpc(self) -> float:
        """The smallest Gaussian sigma of what is added [kpc]; infinite if nothing is."""
        widths = [part.sigma for part in self.added if isinstance(part, Filaments)]
        widths += [part.width for part in self.added if isinstance(part, Shell)]
        return min((float(jnp.min(w)) for w in widths), default=float("inf"))

    def __call__(self, position: Float[Array, " ndim"]) -> Float[Array, ""]:
        """ln rho at one position [kpc]."""
        return _combine(
            [part(position) for part in self.factors], [part(position) for part in self.added]
        )

    def at(
        self, positions: Float[Array, "n ndim"], evaluator: Evaluator | None = None
    ) -> Float[Array, " n"]:
        """ln rho at many positions [kpc], each part in its own fast way."""
        return _combine(
            [part.at(positions, evaluator) for part in self.factors],
            [part.at(positions, evaluator) for part in self.added],
        )

    def on_grid(self, axes: Sequence[Float[Array, " _"]]) -> Float[Array, "..."]:
        """ln rho on the grid spanned by coordinate arrays [kpc]."""
        return _combine(
            [part.on_grid(axes) for part in self.factors],
            [part.on_grid(axes) for part in self.added],
        )


def _distance(position: Float[Array, " ndim"]) -> Float[Array, ""]:
    # softened by a milliparsec: differentiable at the Sun
    return jnp.sqrt(jnp.sum(position**2) + _SOFTENING_KPC**2)


def _combine(factors: Sequence[Array], added: Sequence[Array]) -> Array:
    """The logarithm of the product of some densities plus the sum of others."""
    return reduce(jnp.logaddexp, added, reduce(jnp.add, factors))
