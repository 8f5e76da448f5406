"""True extinctions of a mock's stars, by the integrator of the configuration."""

import jax.numpy as jnp
import numpy as np

from dust3d.config.mock import MockExtinction
from dust3d.config.model import ReferenceRays
from dust3d.errors import Dust3dError
from dust3d.fields.base import Field
from dust3d.fields.structured import StructuredField
from dust3d.keys import generator_for
from dust3d.progress import logger
from dust3d.rays import converged, ode
from dust3d.rays.settle import Settled

_BATCH = 8192
_MOST_NODES = 1 << 13
_CONVERGED = 1e-3
_CHECKED_STARS = 32
_AGREEMENT = 1e-2


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

    def report(done: int, settled: Settled) -> None:
        if settled.moving.any():
            raise Dust3dError(
                f"the extinctions of {settled.moving.sum()} mock stars still change by up "
                f"to {settled.largest_mag:.2g} mag at {settled.finest} nodes per ray; make the "
                "clouds of mock.truth wider, or take mock.extinction.integrator: reference"
            )
        count = settled.nodes
        logger.info("extinctions of %d of %d stars, %d nodes a ray", done, len(positions), count)

    return converged.converged_extinctions(
        field, positions, tolerance_mag, batch=_BATCH, most_nodes=_MOST_NODES, report=report
    )
