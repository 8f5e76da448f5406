"""All classes of fields, imported so that a saved field of any of them can be opened."""

from dust3d.fields.base import registered_fields
from dust3d.fields.fourier import AmplitudePhaseField, FourierField
from dust3d.fields.mean import ConstantMean, VerticalMean
from dust3d.fields.mlp import MLPField
from dust3d.fields.structured import StructuredField
from dust3d.fields.sum import SumField

__all__ = [
    "AmplitudePhaseField",
    "ConstantMean",
    "FourierField",
    "MLPField",
    "StructuredField",
    "SumField",
    "VerticalMean",
    "registered_fields",
]
