"""A fit small enough to check by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dust3d.inference.batches import Batches, NodeSightlines, rows_in_order
from dust3d.inference.settings import FitSettings
from dust3d.observations import Observations

BOX = (1.0, 0.8, 0.4)
FULL_LIKELIHOOD = {
    "kind": "student_t",
    "floor_mag": {"median": 0.03},
    "substructure_kpc": {"median": 0.01},
    "zero_point_std_mag": 0.02,
}


def fit_settings(
    order: tuple[int, ...] = (2, 2, 1),
    box: tuple[float, ...] = BOX,
    *,
    form: str = "cos_sin",
    **sections: Any,
) -> FitSettings:
    """Settings of a Fourier fit in float64; `sections` replace or fill sections."""
    optimiser = {"precision": "float64"} | sections.pop("optimiser", {})
    content = {
        "box": {"half_widths_kpc": box},
        "prior": {"std": 1.0},
        "likelihood": {},
        "rays": {},
        "optimiser": optimiser,
        "fits": {"fourier": {"orders": [order], "form": form}},
    }
    return FitSettings.parse(content | sections)


def observations(n: int = 10, box: tuple[float, ...] = BOX, seed: int = 1) -> Observations:
    """Stars in the middle of the box with extinctions that grow with distance."""
    generator = np.random.default_rng(seed)
    positions = generator.uniform(-0.8, 0.8, (n, len(box))) * box
    distance = np.linalg.norm(positions, axis=1)
    return Observations(
        positions,
        distance * generator.lognormal(0, 0.3, n),
        generator.uniform(0.03, 0.1, n),
        np.arange(n) % 2,
        ("A", "F"),
    )


def white(like: Any, seed: int = 0, size: float = 0.5) -> Any:
    """Normal numbers in the place of every number of a pytree."""
    generator = np.random.default_rng(seed)
    return jax.tree.map(
        lambda a: jnp.asarray(size * generator.standard_normal(a.shape), a.dtype), like
    )


def exact_batches(stars: Observations, *, nodes: int, batch: int) -> Batches:
    """Stars in batches, with exact rays in float64."""
    rows, dtype = rows_in_order(len(stars), batch), jnp.dtype("float64")
    return Batches(NodeSightlines(stars.positions, rows, nodes, dtype), stars, rows, dtype)
