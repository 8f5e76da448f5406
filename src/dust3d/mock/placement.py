"""Where the stars of a mock are."""

import numpy as np

from dust3d.config.base import Box
from dust3d.config.mock import DiscStars, UniformStars
from dust3d.keys import generator_for

MIN_DISTANCE_KPC = 0.003
"""No star nearer than this: proper motions and parallaxes stay those of a survey."""


def draw_positions(
    placement: UniformStars | DiscStars, box: Box, number: int, seed: int
) -> np.ndarray:
    """Positions of stars, independent of one another.

    Parameters
    ----------
    placement
        Uniform, or an exponential disc around the Galactic centre, in either case cut
        to the part `extent` of each half-width.
    box
        The box of the map; two half-widths place the stars in the Galactic plane.
    number
        How many stars.
    seed
        The run's seed.

    Returns
    -------
    Heliocentric Galactic positions [kpc], shape (number, ndim).
    """
    rng = generator_for(seed, "mock: positions of the stars")
    reach = placement.extent * np.asarray(box.half_widths_kpc)
    nearest = min(MIN_DISTANCE_KPC, 0.01 * float(reach.min()))
    found: list[np.ndarray] = []
    missing = number
    while missing > 0:
        batch = _candidates(placement, reach, 2 * missing + 64, rng)
        batch = batch[np.linalg.norm(batch, axis=1) >= nearest][:missing]
        found.append(batch)
        missing -= len(batch)
    return np.concatenate(found)


def _candidates(
    placement: UniformStars | DiscStars, reach: np.ndarray, number: int, rng: np.random.Generator
) -> np.ndarray:
    """At most `number` positions, some of them perhaps at the Sun."""
    positions = reach * rng.uniform(-1, 1, (number, len(reach)))
    if isinstance(placement, UniformStars):
        return positions
    if len(reach) == 3:
        # the inverse of the distribution of |z|, cut at the reach
        height, quantile = placement.scale_height_kpc, rng.uniform(0, 1, number)
        z = -height * np.log1p(quantile * np.expm1(-reach[2] / height))
        positions[:, 2] = np.where(positions[:, 2] < 0, -z, z)
    centre = np.array([placement.solar_radius_kpc, 0.0])
    radius = np.linalg.norm(positions[:, :2] - centre, axis=1)
    # the disc is densest at the point of the rectangle nearest to the centre
    nearest = max(placement.solar_radius_kpc - reach[0], 0.0)
    density = np.exp(-(radius - nearest) / placement.scale_length_kpc)
    return positions[rng.uniform(0, 1, number) < density]
