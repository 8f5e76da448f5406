"""True extinctions of a mock's stars, by the integrator of the configuration."""

import jax.numpy as jnp
import numpy as np

from dust3d.config.mock import MockExtinction
from dust3d.config.model import ReferenceRays
from dust3d.errors import Dust3dError
from dust3d.fields.base import Field
from dust3d.keys import generator_for
from dust3d.rays import nodes, ode

_BATCH = 8192
_FIRST_NODES = 32
_MOST_NODES = 1 << 13
_CONVERGED = 1e-3
_PERCENTILE = 99.9
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
        `integrator: reference` takes the neural ODE; `exact` takes quadrature, whose
        nodes are doubled until 99.9 % of the stars, and then each of the rest, change
        by less than a thousandth of the noise, and which is then held to the neural
        ODE on a sample of the stars.
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
    if settings.integrator == "reference":
        return np.asarray(ode.extinctions(field, jnp.asarray(positions), ReferenceRays()))
    found = converged_extinctions(field, positions, _CONVERGED * settings.noise_mag)
    _hold_to_reference(field, positions, found, _AGREEMENT * settings.noise_mag, seed)
    return found


def converged_extinctions(field: Field, positions: np.ndarray, tolerance_mag: float) -> np.ndarray:
    """Extinctions [mag] by quadrature on nodes that are doubled until nothing changes.

    Stars are taken in order of distance, so that near ones, which need few nodes, do
    not wait for far ones.

    Raises
    ------
    Dust3dError
        If a star has not converged at 8 192 nodes.
    """
    order = np.argsort(np.linalg.norm(positions, axis=1))
    found = np.zeros(len(positions))
    count = _FIRST_NODES
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        # farther stars need no fewer nodes than the batch before
        found[rows], count = _doubled(field, positions[rows], tolerance_mag, max(count // 2, 2))
    return found


def _doubled(
    field: Field, positions: np.ndarray, tolerance_mag: float, count: int
) -> tuple[np.ndarray, int]:
    """Extinctions of a batch, and the nodes at which all but a few have converged."""
    coarse = _quadrature(field, positions, count)
    enough = None
    open_rows = np.arange(len(positions))
    while count < _MOST_NODES:
        count *= 2
        fine = coarse.copy()
        fine[open_rows] = _quadrature(field, positions[open_rows], count)
        change = np.abs(fine - coarse)
        coarse = fine
        if enough is None and np.percentile(change, _PERCENTILE) < tolerance_mag:
            enough = count
        if enough is not None:
            open_rows = np.flatnonzero(change >= tolerance_mag)
            if len(open_rows) == 0:
                return fine, enough
    raise Dust3dError(
        f"the extinctions of {np.sum(change >= tolerance_mag)} mock stars still change by up "
        f"to {change.max():.2g} mag at {count} nodes per ray; make the clouds of mock.truth wider, "
        "or take mock.extinction.integrator: reference"
    )


def _quadrature(field: Field, positions: np.ndarray, count: int) -> np.ndarray:
    n = len(positions)
    # sizes are powers of two, so that few shapes are compiled
    size = 1 << (n - 1).bit_length()
    padded = np.pad(positions, ((0, size - n), (0, 0)), mode="edge")
    return np.asarray(nodes.extinctions(field, jnp.asarray(padded), count))[:n]


def _hold_to_reference(
    field: Field, positions: np.ndarray, found: np.ndarray, tolerance_mag: float, seed: int
) -> None:
    rng = generator_for(seed, "mock: stars checked against the neural ODE")
    rows = rng.choice(len(positions), min(_CHECKED_STARS, len(positions)), replace=False)
    settings = ReferenceRays(rtol=1e-8, atol=1e-2 * tolerance_mag)
    reference = np.asarray(ode.extinctions(field, jnp.asarray(positions[rows]), settings))
    error = np.abs(found[rows] - reference)
    worst = int(np.argmax(error))
    if error[worst] > tolerance_mag:
        raise Dust3dError(
            f"quadrature and the neural ODE disagree on the extinction of the mock star at "
            f"{np.round(positions[rows[worst]], 4).tolist()} kpc: {found[rows[worst]]:.6g} and "
            f"{reference[worst]:.6g} mag; take mock.extinction.integrator: reference"
        )
