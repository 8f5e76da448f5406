"""One small field of every class, with fixed coefficients."""

import jax.numpy as jnp
import numpy as np

from dust3d.fields.base import Field
from dust3d.fields.fourier import AmplitudePhaseField, FourierField, fourier_modes
from dust3d.fields.mean import ConstantMean, VerticalMean
from dust3d.fields.mlp import MLPField
from dust3d.fields.structured import Cavity, Disc, Filaments, Shell, StructuredField
from dust3d.fields.sum import SumField

ORDERS = (4, 3, 2)
HALF_WIDTHS = (2.0, 1.5, 1.0)


def fourier(ndim: int = 3, *, ball: bool = True, seed: int = 1) -> FourierField:
    """A Fourier field whose amplitudes fall with order."""
    order = ORDERS[:ndim]
    modes = fourier_modes(order, ball)
    rng = np.random.default_rng(seed)
    scale = 0.3 / np.sum(modes**2, axis=1) ** 0.5
    cos, sin = scale * rng.standard_normal((2, len(modes)))
    return FourierField(order, HALF_WIDTHS[:ndim], cos, sin, ball)


def network(ndim: int = 3) -> MLPField:
    """A network of two hidden layers."""
    rng = np.random.default_rng(2)
    widths = (6, 5, 4, 1)
    return MLPField(
        rng.standard_normal((3, ndim)),
        [rng.standard_normal(w) / np.sqrt(w[0]) for w in zip(widths, widths[1:], strict=False)],
        [0.1 * rng.standard_normal(w) for w in widths[1:]],
    )


def vertical() -> VerticalMean:
    """A profile that falls from the plane on, like a real one."""
    return VerticalMean((0.0, 0.1, 0.3, 0.7), np.array([-0.3, -0.5, -1.4, -3.0]), 0.015)


def structured(ndim: int = 3) -> StructuredField:
    """A disc with turbulence and a cavity, its shell, a cloud and a filament."""
    middle = np.array([[0.4, -0.2, 0.1], [-0.3, 0.3, -0.2]])[:, :ndim]
    half = np.array([[0.0, 0.0, 0.0], [0.1, 0.1, -0.05]])[:, :ndim]
    clouds = Filaments(np.log([3.0, 2.0]), middle, half, np.array([0.1, 0.08]))
    return StructuredField(
        factors=(Disc(-0.4, -0.015, 0.2), fourier(ndim, seed=3), Cavity(0.1, 0.15, 0.05)),
        added=(Shell(0.2, 0.15, 0.05), clouds),
    )


def examples() -> dict[str, tuple[Field, int]]:
    """Every class of fields, in 2-D too where it can be: name to field and dimension."""
    found: dict[str, tuple[Field, int]] = {
        "vertical": (vertical(), 3),
        "sum 3-D": (SumField((vertical(), fourier(), ConstantMean(-0.2))), 3),
        "sum 2-D": (SumField((ConstantMean(-0.7), fourier(2))), 2),
        "lattice 3-D": (fourier(ball=False), 3),
    }
    for ndim in (2, 3):
        found |= {
            f"constant {ndim}-D": (ConstantMean(jnp.log(0.5)), ndim),
            f"Fourier {ndim}-D": (fourier(ndim), ndim),
            f"amplitude-phase {ndim}-D": (AmplitudePhaseField.from_cos_sin(fourier(ndim)), ndim),
            f"network {ndim}-D": (network(ndim), ndim),
            f"structured {ndim}-D": (structured(ndim), ndim),
        }
    return found


EXAMPLES = examples()
