"""ln rho as a Fourier series in a periodic box."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from dust3d.fields.base import Field, register_field
from dust3d.fields.modes import fourier_modes
from dust3d.transforms import separable
from dust3d.transforms.nonuniform import Evaluator

__all__ = ["AmplitudePhaseField", "FourierField", "change_order", "fourier_modes"]


class _Series(Field):
    """Common part of the two ways to write a Fourier series."""

    order: tuple[int, ...] = eqx.field(static=True)
    ball: bool = eqx.field(static=True)
    half_widths: tuple[float, ...] = eqx.field(static=True)

    def _cos_sin(self) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        raise NotImplementedError

    @property
    def modes(self) -> np.ndarray:
        """Integer modes, shape (n_modes, ndim)."""
        return fourier_modes(self.order, self.ball)

    def __call__(self, position: Float[Array, " ndim"]) -> Float[Array, ""]:
        """ln rho at one position [kpc]."""
        cos, sin = self._cos_sin()
        wave = separable.waves(position, self.modes, self.order, self.half_widths)
        return cos @ wave.real + sin @ wave.imag

    def at(
        self, positions: Float[Array, "n ndim"], evaluator: Evaluator | None = None
    ) -> Float[Array, " n"]:
        """ln rho at many positions [kpc]."""
        evaluate = evaluator or Evaluator()
        return evaluate(self._lattice(), self.order, self.half_widths, positions)

    def on_grid(self, axes: Sequence[Float[Array, " _"]]) -> Float[Array, "..."]:
        """ln rho on the grid spanned by coordinate arrays [kpc]."""
        return separable.evaluate_grid(self._lattice(), self.order, self.half_widths, axes)

    def _lattice(self) -> Complex[Array, "..."]:
        return separable.lattice_coefficients(self.modes, self.order, *self._cos_sin())


def _check(field: _Series, first: Array, second: Array) -> None:
    if len(field.order) != len(field.half_widths):
        raise ValueError(
            f"order {field.order} and half-widths {field.half_widths} have different lengths"
        )
    if not all(0 < half < np.inf for half in field.half_widths):
        raise ValueError(f"half-widths must be positive and finite, not {field.half_widths}")
    n = len(field.modes)
    if first.shape != (n,) or second.shape != (n,):
        raise ValueError(
            f"order {field.order} has {n} modes and needs as many coefficients of each kind, "
            f"not {first.shape} and {second.shape}"
        )


@register_field
class FourierField(_Series):
    """sum_k a_k cos(k.x) + b_k sin(k.x) over half of k-space, k = pi m / L.

    Parameters
    ----------
    order
        Highest mode along each axis; `fourier_modes(order, ball)` lists the modes.
    half_widths
        L along each axis [kpc].
    cos, sin
        a_k and b_k, shape (n_modes,).
    ball
        Whether only modes with sum (m_i / order_i)^2 <= 1 are there.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.
    """

    cos: Float[Array, " k"]
    sin: Float[Array, " k"]

    def __init__(self, order, half_widths, cos, sin, ball=True):
        self.order = tuple(int(m) for m in order)
        self.ball = bool(ball)
        self.half_widths = tuple(float(h) for h in half_widths)
        self.cos = jnp.asarray(cos)
        self.sin = jnp.asarray(sin)
        _check(self, self.cos, self.sin)

    def _cos_sin(self) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        return self.cos, self.sin


@register_field
class AmplitudePhaseField(_Series):
    """sum_k c_k cos(k.x + phi_k) over half of k-space, k = pi m / L.

    Parameters
    ----------
    order, half_widths, ball
        As for `FourierField`.
    amplitude, phase
        c_k and phi_k [rad], shape (n_modes,).
    """

    amplitude: Float[Array, " k"]
    phase: Float[Array, " k"]

    def __init__(self, order, half_widths, amplitude, phase, ball=True):
        self.order = tuple(int(m) for m in order)
        self.ball = bool(ball)
        self.half_widths = tuple(float(h) for h in half_widths)
        self.amplitude = jnp.asarray(amplitude)
        self.phase = jnp.asarray(phase)
        _check(self, self.amplitude, self.phase)

    def _cos_sin(self) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        return (
            self.amplitude * jnp.cos(self.phase),
            -self.amplitude * jnp.sin(self.phase),
        )

    @classmethod
    def from_cos_sin(cls, field: FourierField) -> "AmplitudePhaseField":
        """The same field in this form."""
        amplitude = jnp.hypot(field.cos, field.sin)
        phase = jnp.arctan2(-field.sin, field.cos)
        return cls(field.order, field.half_widths, amplitude, phase, field.ball)

    def to_cos_sin(self) -> FourierField:
        """The same field as cosines and sines."""
        return FourierField(self.order, self.half_widths, *self._cos_sin(), self.ball)


def change_order(field: FourierField, order: Sequence[int], ball: bool = True) -> FourierField:
    """The field at another order: new modes start at zero, modes that are no more are dropped."""
    modes = fourier_modes(order, ball)
    place = {tuple(m): i for i, m in enumerate(modes.tolist())}
    old = [(i, place[tuple(m)]) for i, m in enumerate(field.modes.tolist()) if tuple(m) in place]
    source, target = np.asarray(old, dtype=np.int64).reshape(-1, 2).T
    zeros = jnp.zeros(len(modes), field.cos.dtype)
    return FourierField(
        order,
        field.half_widths,
        zeros.at[target].set(field.cos[source]),
        zeros.at[target].set(field.sin[source]),
        ball,
    )
