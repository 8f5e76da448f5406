"""What every field is: a differentiable function from a position to ln rho."""

from collections.abc import Sequence
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dust3d.transforms.nonuniform import Evaluator

_REGISTRY: dict[str, type["Field"]] = {}
_CHUNK = 1 << 15
_Class = TypeVar("_Class", bound=type)


def register_field(cls: _Class) -> _Class:
    """Make a class of fields known by its name, so that it can be saved and opened."""
    _REGISTRY[cls.__name__] = cls
    return cls


def registered_fields() -> dict[str, type["Field"]]:
    """Name to class, for all fields that can be saved."""
    return dict(_REGISTRY)


class Field(eqx.Module):
    """ln(rho / (mag / kpc)) as a function of position.

    A field is called with ONE position [kpc], heliocentric Galactic Cartesian,
    of shape (ndim,). `at` and `on_grid` evaluate many; subclasses override them
    where their structure allows better than one by one.
    """

    def __call__(self, position: Float[Array, " ndim"]) -> Float[Array, ""]:
        """ln rho at one position [kpc]."""
        raise NotImplementedError

    def at(
        self, positions: Float[Array, "n ndim"], evaluator: Evaluator | None = None
    ) -> Float[Array, " n"]:
        """ln rho at many positions [kpc].

        Parameters
        ----------
        positions
            Positions [kpc].
        evaluator
            How the Fourier series in the field are evaluated; none: the fastest way
            here, to 1e-5 in single and 1e-10 in double precision.
        """
        if positions.shape[0] <= _CHUNK:
            return jax.vmap(self.__call__)(positions)
        return jax.lax.map(self.__call__, positions, batch_size=_CHUNK)

    def on_grid(self, axes: Sequence[Float[Array, " _"]]) -> Float[Array, "..."]:
        """ln rho on the regular grid spanned by coordinate arrays [kpc], one per axis."""
        mesh = jnp.meshgrid(*axes, indexing="ij")
        points = jnp.stack([m.ravel() for m in mesh], axis=-1)
        return self.at(points).reshape([len(a) for a in axes])
