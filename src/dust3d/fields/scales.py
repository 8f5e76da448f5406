"""How fine the structure of a field is, and so how fine a grid must be to hold it."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from dust3d.fields.base import Field
from dust3d.fields.fourier import AmplitudePhaseField, FourierField
from dust3d.fields.mean import ConstantMean, VerticalMean
from dust3d.fields.mlp import MLPField
from dust3d.fields.structured import StructuredField
from dust3d.fields.sum import SumField

_PER_HALF_WAVE = 4
_PER_SIGMA = 2
_PER_KNOT = 4


def voxel_for(field: Field, ndim: int) -> np.ndarray:
    """Largest voxel along each axis [kpc] on which cubic splines follow a field to about 1e-3.

    Four voxels per half-wavelength of the highest mode of a Fourier series or of a
    network's features, two per Gaussian sigma of a cloud, four per step of the knots
    of a vertical profile; infinite for a constant. A field of another class is taken
    to be smooth.
    """
    voxel = np.full(ndim, np.inf)
    match field:
        case FourierField() | AmplitudePhaseField():
            return np.asarray(field.half_widths) / (_PER_HALF_WAVE * np.asarray(field.order))
        case VerticalMean():
            voxel[2] = np.diff(field.knots).min() / _PER_KNOT
        case MLPField():
            shortest = 2 * np.pi / float(jnp.linalg.norm(field.frequencies, axis=1).max())
            voxel[:] = shortest / (2 * _PER_HALF_WAVE)
        case StructuredField():
            parts = [voxel_for(part, ndim) for part in (*field.factors, *field.added)]
            sigma = np.full(ndim, field.finest_kpc)
            voxel = np.minimum.reduce([sigma / _PER_SIGMA, *parts])
        case SumField():
            voxel = np.minimum.reduce([voxel_for(part, ndim) for part in field.parts])
        case ConstantMean():
            pass
    return voxel


def is_periodic(field: Field, half_widths: Sequence[float]) -> bool:
    """Whether opposite faces of a box know each other."""
    match field:
        case FourierField() | AmplitudePhaseField():
            return field.half_widths == tuple(half_widths)
        case ConstantMean():
            return True
        case SumField():
            return all(is_periodic(part, half_widths) for part in field.parts)
    return False
