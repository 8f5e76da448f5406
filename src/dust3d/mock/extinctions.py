"""True extinctions of a mock's stars, by the integrator of the configuration."""

from functools import partial

import jax.numpy as jnp
import numpy as np

from dust3d.config.mock import MockExtinction
from dust3d.config.model import ReferenceRays
from dust3d.errors import Dust3dError
from dust3d.fields.base import Field
from dust3d.fields.structured import StructuredField
from dust3d.keys import generator_for
from dust3d.progress import logger
from dust3d.rays import nodes, ode
from dust3d.rays.settle import Settled, by_distance, settle
from dust3d.transforms.nonuniform import Evaluator

_BATCH = 8192
_FEWEST_NODES = 16
_MOST_NODES = 1 << 13
_CONVERGED = 1e-3
_PERCENTILE = 90.0
_CHECKED_STARS = 32
_AGREEMENT = 1e-2
# error of ln rho over the tolerance [1 / mag]: A may be tens of magnitudes
_TRANSFORM = 1e-3


def true_extinctions(
    field: Field, positions: np.ndarray, settings: MockExtinction, seed: int
) -> np.ndarray:
    """Extinctions from the Sun to the stars.

    Parameters
    ----------
    field
        The true ln rho.
    positions
        Stars [kpc], shape (n, ndim), none at the Sun.
    settings
        `integrator: reference` takes the neural ODE, held to quadrature where there may
        be clouds; `exact` takes quadrature, whose nodes are doubled until no star changes
        by more than a thousandth of the noise, held to the neural ODE on a sample.
    seed
        The run's seed; it chooses that sample.

    Returns
    -------
    A_V [mag], shape (n,).

    Raises
    ------
    Dust3dError
        If quadrature does not converge, or disagrees with the neural ODE.
    """
    tolerance_mag = _AGREEMENT * settings.noise_mag
    if settings.integrator == "reference":
        found = _reference(field, positions, ReferenceRays())
        # adaptive steps can jump over a narrow cloud in thin dust: no star may lack one
        if isinstance(field, StructuredField):
            checked = converged_extinctions(field, positions, _CONVERGED * settings.noise_mag)
            _hold_together(positions, found, checked, tolerance_mag, "exact")
        return found
    found = converged_extinctions(field, positions, _CONVERGED * settings.noise_mag)
    rng = generator_for(seed, "mock: stars checked against the neural ODE")
    rows = rng.choice(len(positions), min(_CHECKED_STARS, len(positions)), replace=False)
    finer = ReferenceRays(rtol=1e-8, atol=1e-2 * tolerance_mag)
    checked = _reference(field, positions[rows], finer)
    _hold_together(positions[rows], checked, found[rows], tolerance_mag, "reference")
    return found


def _reference(field: Field, positions: np.ndarray, settings: ReferenceRays) -> np.ndarray:
    if isinstance(field, StructuredField):
        # a step of two sigma cannot jump over the narrowest cloud
        settings = settings.model_copy(update={"max_step_kpc": 2 * field.finest_kpc})
    return np.asarray(ode.extinctions(field, jnp.asarray(positions), settings))


def _hold_together(
    positions: np.ndarray,
    reference: np.ndarray,
    exact: np.ndarray,
    tolerance_mag: float,
    remedy: str,
) -> None:
    error = np.abs(exact - reference)
    worst = int(np.argmax(error))
    if error[worst] > tolerance_mag:
        raise Dust3dError(
            f"the neural ODE and quadrature disagree on the extinctions of "
            f"{np.sum(error > tolerance_mag)} of {len(error)} mock stars: {reference[worst]:.6g} "
            f"and {exact[worst]:.6g} mag at {np.round(positions[worst], 4).tolist()} kpc; "
            f"take mock.extinction.integrator: {remedy}, or make the clouds of mock.truth wider"
        )


def converged_extinctions(field: Field, positions: np.ndarray, tolerance_mag: float) -> np.ndarray:
    """Extinctions [mag] by quadrature on nodes that are doubled until nothing changes.

    The first nodes are close enough to hit each cloud that the ray crosses: one that two
    node counts both miss would look converged.

    Raises
    ------
    Dust3dError
        If a star has not converged at 8 192 nodes.
    """
    evaluator = Evaluator(accuracy=_TRANSFORM * tolerance_mag)

    def settled(rows: np.ndarray, first: int) -> Settled:
        found = settle(
            lambda some, count: nodes.extinctions(field, positions[rows[some]], count, evaluator),
            len(rows),
            first=first,
            most=_MOST_NODES,
            tolerance_mag=tolerance_mag,
            percentile=_PERCENTILE,
            each=True,
        )
        if found.moving.any():
            raise Dust3dError(
                f"the extinctions of {found.moving.sum()} mock stars still change by up "
                f"to {found.largest_mag:.2g} mag at {found.finest} nodes per ray; make the clouds "
                "of mock.truth wider, or take mock.extinction.integrator: reference"
            )
        reach = distances[rows].max()
        logger.info("extinctions of stars out to %.3g kpc, %d nodes a ray", reach, found.nodes)
        return found

    distances = np.linalg.norm(positions, axis=1)
    fewest = partial(_nodes_that_hit, field)
    return by_distance(distances, settled, fewest, _BATCH).values


def _nodes_that_hit(field: Field, reach_kpc: float) -> int:
    """Nodes at most two sigma of the smallest cloud apart, a power of two."""
    finest = field.finest_kpc if isinstance(field, StructuredField) else np.inf
    # Gauss-Legendre nodes are farthest apart mid-ray: pi / 2 of the mean spacing
    needed = np.pi / 2 * reach_kpc / (2 * finest)
    power = 1 << int(np.ceil(np.log2(max(needed, 1))))
    return min(max(_FEWEST_NODES, power), _MOST_NODES // 2)
