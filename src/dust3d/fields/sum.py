"""A sum of fields of ln rho: densities multiply."""

from collections.abc import Sequence

from jaxtyping import Array, Float

from dust3d.fields.base import Field, register_field
from dust3d.fields.fourier import AmplitudePhaseField
from dust3d.transforms.nonuniform import Evaluator


@register_field
class SumField(Field):
    """ln rho = sum of the parts' ln rho.

    Raises
    ------
    ValueError
        Without any part.
    """

    parts: tuple[Field, ...]

    def __init__(self, parts):
        self.parts = tuple(parts)
        if not self.parts:
            raise ValueError("a sum of fields needs at least one part")

    def __call__(self, position: Float[Array, " ndim"]) -> Float[Array, ""]:
        """ln rho at one position [kpc]."""
        return sum((part(position) for part in self.parts[1:]), self.parts[0](position))

    def at(
        self, positions: Float[Array, "n ndim"], evaluator: Evaluator | None = None
    ) -> Float[Array, " n"]:
        """ln rho at many positions [kpc]."""
        first, *others = (part.at(positions, evaluator) for part in self.parts)
        return sum(others, first)

    def on_grid(self, axes: Sequence[Float[Array, " _"]]) -> Float[Array, "..."]:
        """ln rho on the grid spanned by coordinate arrays [kpc]."""
        return sum((part.on_grid(axes) for part in self.parts[1:]), self.parts[0].on_grid(axes))


def in_cosines(field: Field) -> Field:
    """The same field, amplitudes and phases of its series as cosines and sines."""
    if isinstance(field, SumField):
        return SumField(in_cosines(part) for part in field.parts)
    return field.to_cos_sin() if isinstance(field, AmplitudePhaseField) else field
