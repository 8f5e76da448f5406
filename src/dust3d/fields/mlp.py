"""ln rho as a feed-forward network on Fourier features."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dust3d.fields.base import Field, register_field
from dust3d.transforms.nonuniform import Evaluator


@register_field
class MLPField(Field):
    """A network of tanh layers on [cos(w.x), sin(w.x)] (Tancik et al. 2020).

    Parameters
    ----------
    frequencies
        w, shape (n_features, ndim) [1 / kpc]; fixed, not trained.
    weights
        One matrix per layer, shape (width in, width out); the last has width 1.
    biases
        One vector per layer.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.
    """

    frequencies: Float[Array, "f ndim"]
    weights: tuple[Float[Array, "_ _"], ...]
    biases: tuple[Float[Array, " _"], ...]

    def __init__(self, frequencies, weights, biases):
        self.frequencies = jnp.asarray(frequencies)
        self.weights = tuple(jnp.asarray(w) for w in weights)
        self.biases = tuple(jnp.asarray(b) for b in biases)
        width = 2 * self.frequencies.shape[0]
        for w, b in zip(self.weights, self.biases, strict=True):
            if w.shape != (width, b.shape[0]):
                raise ValueError(f"a layer of shape {w.shape} cannot follow one of width {width}")
            width = w.shape[1]
        if width != 1:
            raise ValueError(f"the last layer must have width 1, not {width}")

    def __call__(self, position: Float[Array, " ndim"]) -> Float[Array, ""]:
        """ln rho at one position [kpc]."""
        return self.at(position[None])[0]

    def at(
        self, positions: Float[Array, "n ndim"], evaluator: Evaluator | None = None
    ) -> Float[Array, " n"]:
        """ln rho at many positions [kpc]."""
        chunk = 1 << 14
        if positions.shape[0] > chunk:
            return jax.lax.map(self.__call__, positions, batch_size=chunk)
        angle = positions @ jax.lax.stop_gradient(self.frequencies).T
        hidden = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=1)
        for w, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = jnp.tanh(hidden @ w + b)
        return (hidden @ self.weights[-1] + self.biases[-1])[:, 0]

    @property
    def layers(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        return tuple(int(w.shape[1]) for w in self.weights[:-1])
