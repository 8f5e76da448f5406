"""Priors of the field: maps from white noise xi ~ N(0, 1) to a field.

Any object with `start`, `field` and `log_density` is a prior: the optimisers know
nothing else of it.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from dust3d.fields.base import Field
from dust3d.fields.fourier import AmplitudePhaseField, FourierField
from dust3d.fields.mean import ConstantMean, VerticalMean
from dust3d.fields.mlp import MLPField
from dust3d.fields.modes import fourier_modes, spectrum, wavenumbers
from dust3d.fields.sum import SumField

Xi = Any
"""Whitened parameters: a pytree of arrays."""


@runtime_checkable
class Prior(Protocol):
    """A map from whitened parameters to a field, and their log-density."""

    def start(self, key: PRNGKeyArray) -> Xi:
        """Whitened parameters to begin with."""
        ...

    def field(self, xi: Xi) -> Field:
        """The field of these whitened parameters."""
        ...

    def log_density(self, xi: Xi) -> Float[Array, ""]:
        """ln p(xi), up to a constant."""
        ...


def size_of(tree: Any) -> int:
    """How many numbers a tree of parameters holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def white_log_density(xi: Xi) -> Float[Array, ""]:
    """-|xi|^2 / 2."""
    return jnp.asarray(-0.5 * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(xi)))


def spectral_scales(
    modes: np.ndarray,
    half_widths: Sequence[float],
    *,
    std: float,
    slope: float,
    outer_scale_kpc: float | None = None,
    std_scale_kpc: float | None = None,
) -> np.ndarray:
    """Prior standard deviation s(k) of each coefficient a_k, b_k of ln rho.

    s(k) = s0 (k0^2 + k^2)^(-slope / 2), where s0 gives ln rho the standard deviation
    `std` when all modes of wavelengths from the box down to `std_scale_kpc` are
    counted. With a fixed `std_scale_kpc` fits of any order share one prior; without
    it the modes themselves are counted.
    """
    shape = spectrum(wavenumbers(modes, half_widths), slope=slope, outer_scale_kpc=outer_scale_kpc)
    if std_scale_kpc is None:
        counted = shape
    else:
        reference = [max(1, int(np.floor(2 * h / std_scale_kpc))) for h in half_widths]
        k = wavenumbers(fourier_modes(reference, ball=False), half_widths)
        k = k[k <= 2 * np.pi / std_scale_kpc * (1 + 1e-9)]
        counted = spectrum(k, slope=slope, outer_scale_kpc=outer_scale_kpc)
    return shape * std / np.sqrt(np.sum(counted**2))


class FourierPrior(eqx.Module):
    """Independent Gaussian coefficients of a Fourier field.

    Parameters
    ----------
    order, ball, half_widths
        As for `FourierField`.
    scales
        Standard deviation s(k) of a_k and b_k, shape (n_modes,).
    form
        `cos_sin`, or `amplitude_phase`: the same prior and the same maximum, walked
        to in amplitudes and phases.
    """

    order: tuple[int, ...] = eqx.field(static=True)
    ball: bool = eqx.field(static=True)
    half_widths: tuple[float, ...] = eqx.field(static=True)
    scales: Float[Array | np.ndarray, " k"]
    form: str = eqx.field(static=True, default="cos_sin")

    @property
    def modes(self) -> np.ndarray:
        """Integer modes, shape (n_modes, ndim)."""
        return fourier_modes(self.order, self.ball)

    def start(self, key: PRNGKeyArray) -> Xi:
        """A flat field; in amplitude and phase a faint random one, whose phases can move."""
        n = self.scales.shape[0]
        zeros = jnp.zeros(n, self.scales.dtype)
        if self.form == "cos_sin":
            return {"cos": zeros, "sin": zeros}
        phase = jax.random.uniform(key, (n,), self.scales.dtype, 0, 2 * np.pi)
        return {"amplitude": zeros + 0.1, "phase": phase}

    def field(self, xi: Xi) -> Field:
        """The field with coefficients s(k) xi_k."""
        if self.form == "cos_sin":
            cos, sin = self.scales * xi["cos"], self.scales * xi["sin"]
            return FourierField(self.order, self.half_widths, cos, sin, self.ball)
        return AmplitudePhaseField(
            self.order, self.half_widths, self.scales * xi["amplitude"], xi["phase"], self.ball
        )

    def log_density(self, xi: Xi) -> Float[Array, ""]:
        """Gaussian in the coefficients a and b; phases are free."""
        return white_log_density({k: v for k, v in xi.items() if k != "phase"})

    def whiten(self, field: FourierField) -> Xi:
        """xi of a field of this order."""
        if self.form == "cos_sin":
            return {"cos": field.cos / self.scales, "sin": field.sin / self.scales}
        polar = AmplitudePhaseField.from_cos_sin(field)
        return {"amplitude": polar.amplitude / self.scales, "phase": polar.phase}


class ConstantMeanPrior(eqx.Module):
    """mean of ln rho ~ N(ln_density, std^2)."""

    ln_density: float = eqx.field(static=True)
    std: float = eqx.field(static=True)
    dtype: jnp.dtype = eqx.field(static=True)

    def start(self, key: PRNGKeyArray) -> Xi:
        """The prior mean."""
        return {"mean": jnp.zeros((), self.dtype)}

    def field(self, xi: Xi) -> Field:
        """A constant."""
        return ConstantMean(self.ln_density + self.std * xi["mean"])

    def raised(self, xi: Xi, amount: Float[Array, ""]) -> Xi:
        """xi of a mean that is higher by an amount."""
        return {"mean": xi["mean"] + amount / self.std}

    def whiten(self, field: ConstantMean) -> Xi:
        """xi of a mean."""
        return {"mean": (field.ln_density - self.ln_density) / self.std}

    def log_density(self, xi: Xi) -> Float[Array, ""]:
        """Standard normal."""
        return white_log_density(xi)


class VerticalMeanPrior(eqx.Module):
    """A random walk of ln rho from knot to knot of |z + z0|, and z0 ~ N(offset, offset_std^2)."""

    knots: tuple[float, ...] = eqx.field(static=True)
    ln_density: float = eqx.field(static=True)
    std: float = eqx.field(static=True)
    step_std: float = eqx.field(static=True)
    offset: float = eqx.field(static=True)
    offset_std: float = eqx.field(static=True)
    dtype: jnp.dtype = eqx.field(static=True)

    def start(self, key: PRNGKeyArray) -> Xi:
        """A flat profile at the prior mean."""
        n = len(self.knots)
        return {
            "plane": jnp.zeros((), self.dtype),
            "steps": jnp.zeros(n - 1, self.dtype),
            "offset": jnp.zeros((), self.dtype),
        }

    def field(self, xi: Xi) -> Field:
        """The profile whose knots are the walk's places."""
        plane = self.ln_density + self.std * xi["plane"]
        walk = plane + self.step_std * jnp.cumsum(xi["steps"])
        values = jnp.concatenate([plane[None], walk])
        return VerticalMean(self.knots, values, self.offset + self.offset_std * xi["offset"])

    def raised(self, xi: Xi, amount: Float[Array, ""]) -> Xi:
        """xi of a profile that is higher everywhere by an amount."""
        return {**xi, "plane": xi["plane"] + amount / self.std}

    def whiten(self, field: VerticalMean) -> Xi:
        """xi of a profile with these knots."""
        return {
            "plane": (field.ln_density[0] - self.ln_density) / self.std,
            "steps": jnp.diff(field.ln_density) / self.step_std,
            "offset": (field.offset - self.offset) / self.offset_std,
        }

    def log_density(self, xi: Xi) -> Float[Array, ""]:
        """Standard normal."""
        return white_log_density(xi)


class MLPPrior(eqx.Module):
    """Independent Gaussian weights of a network, scaled by the width of their layer.

    The last layer is scaled so that ln rho has the standard deviation `std` (exactly with
    one hidden layer; about, with more).
    """

    frequencies: Float[Array, "f ndim"]
    layers: tuple[int, ...] = eqx.field(static=True)
    std: float = eqx.field(static=True)

    @classmethod
    def draw(
        cls,
        key: PRNGKeyArray,
        *,
        layers: Sequence[int],
        features: int,
        feature_scale_kpc: float,
        ndim: int,
        std: float,
        dtype: jnp.dtype,
    ) -> "MLPPrior":
        """Frequencies of random directions, |w| log-uniform within a factor of 4 of the scale's."""
        direction_key, length_key = jax.random.split(key)
        # always drawn in float32: both precisions of one fit must have the same features
        direction = jax.random.normal(direction_key, (features, ndim), jnp.float32)
        direction = direction / jnp.linalg.norm(direction, axis=1, keepdims=True)
        octaves = jax.random.uniform(length_key, (features, 1), jnp.float32, -2, 2)
        length = jnp.float32(2 * np.pi / feature_scale_kpc) * 2.0**octaves
        return cls((direction * length).astype(dtype), tuple(layers), float(std))

    def _shapes(self) -> list[tuple[int, int]]:
        widths = [2 * self.frequencies.shape[0], *self.layers, 1]
        return list(zip(widths, widths[1:], strict=False))

    def start(self, key: PRNGKeyArray) -> Xi:
        """A draw from the prior, with the last layer at zero: a flat field."""
        dtype = self.frequencies.dtype
        shapes = self._shapes()
        keys = jax.random.split(key, len(shapes))
        weights = [jax.random.normal(k, s, dtype) for k, s in zip(keys, shapes, strict=True)]
        weights[-1] = jnp.zeros_like(weights[-1])
        return {"weights": weights, "biases": [jnp.zeros(s[1], dtype) for s in shapes]}

    def _last_variance(self) -> float:
        """Prior variance of what the last layer would give with gain 1 / sqrt(width)."""
        x, w = np.polynomial.hermite_e.hermegauss(40)
        # cos^2 + sin^2 = 1: the features are 1/2 on average
        square, widths = 0.5, [s[0] for s in self._shapes()]
        for width in widths[:-1]:
            spread = np.sqrt(square + 1 / width)
            square = float(w @ np.tanh(spread * x) ** 2 / w.sum())
        return square + 1 / widths[-1]

    def field(self, xi: Xi) -> Field:
        """The network of these weights."""
        # plain floats: a float64 of numpy would make single precision double
        gains = [float(1 / np.sqrt(s[0])) for s in self._shapes()]
        gains[-1] *= self.std / float(np.sqrt(self._last_variance()))
        weights = tuple(g * w for g, w in zip(gains, xi["weights"], strict=True))
        biases = tuple(g * b for g, b in zip(gains, xi["biases"], strict=True))
        return MLPField(self.frequencies, weights, biases)

    def log_density(self, xi: Xi) -> Float[Array, ""]:
        """Standard normal."""
        return white_log_density(xi)


class SumPrior(eqx.Module):
    """A field that is the sum of independent parts."""

    parts: dict[str, Any]

    def start(self, key: PRNGKeyArray) -> Xi:
        """Each part's own start."""
        keys = jax.random.split(key, len(self.parts))
        return {name: p.start(k) for (name, p), k in zip(self.parts.items(), keys, strict=True)}

    def field(self, xi: Xi) -> Field:
        """The sum of the parts' fields."""
        return SumField(tuple(part.field(xi[name]) for name, part in self.parts.items()))

    def log_density(self, xi: Xi) -> Float[Array, ""]:
        """Sum over the parts."""
        return sum((part.log_density(xi[name]) for name, part in self.parts.items()), jnp.zeros(()))
