"""The stars of a mock as they truly are."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import ICRS, CartesianRepresentation

from dust3d.config.base import Box
from dust3d.config.mock import MockExtinction, MockStars, TableStars
from dust3d.coords import skycoord
from dust3d.errors import ConfigError
from dust3d.fields.base import Field
from dust3d.keys import generator_for
from dust3d.mock.extinctions import true_extinctions
from dust3d.mock.placement import draw_positions
from dust3d.mock.tabled import read_stars

KM_PER_S_PER_KPC_MAS_PER_YR = 4.740470463533349
"""Transverse velocity [km/s] = this x distance [kpc] x proper motion [mas/yr]."""


@dataclass(frozen=True)
class TrueStars:
    """Stars without any error of measurement; arrays of n rows.

    Attributes
    ----------
    position
        Heliocentric Galactic [kpc] at the epoch of the first catalogue, shape (n, ndim).
    star_class
        Names of classes.
    zero_point
        What the class adds to each measured extinction [mag].
    absolute_magnitude
        M_V [mag].
    proper_motion
        mu_alpha cos(delta) and mu_delta [mas / yr], shape (n, 2).
    extinction
        A_V from the Sun [mag].
    excess
        What an outlier adds to each measured extinction [mag]; 0 for the others.
    parallax_error, extinction_error
        Errors that the catalogues state [mas, mag], where stars have their own.
    """

    position: np.ndarray
    star_class: np.ndarray
    zero_point: np.ndarray
    absolute_magnitude: np.ndarray
    proper_motion: np.ndarray
    extinction: np.ndarray
    excess: np.ndarray
    parallax_error: np.ndarray | None = None
    extinction_error: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.position)

    @property
    def distance(self) -> np.ndarray:
        """Distances [kpc]."""
        return np.linalg.norm(self.position, axis=1)

    @property
    def magnitude(self) -> np.ndarray:
        """Apparent V [mag], dimmed by dust."""
        modulus = 5 * np.log10(self.distance) + 10
        return self.absolute_magnitude + modulus + self.extinction

    def position_in_space(self) -> np.ndarray:
        """Positions [kpc], shape (n, 3), in the Galactic plane for a 2-D mock."""
        missing = 3 - self.position.shape[1]
        return np.pad(self.position, ((0, 0), (0, missing)))

    def unit_vectors(self) -> np.ndarray:
        """Directions in ICRS at the epoch of the first catalogue, shape (n, 3)."""
        icrs = skycoord(self.position_in_space()).frame.transform_to(ICRS())
        vectors = icrs.represent_as(CartesianRepresentation).get_xyz().to_value(u.kpc).T
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def only(self, rows: np.ndarray) -> "TrueStars":
        """Some of the stars, by a mask or by row numbers."""
        values: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        for name, value in values.items():
            values[name] = None if value is None else value[rows]
        return TrueStars(**values)


def draw_stars(
    field: Field, stars: MockStars, extinction: MockExtinction, box: Box, seed: int
) -> TrueStars:
    """Stars behind the dust that a survey with this magnitude limit would see.

    Parameters
    ----------
    field
        The true ln rho.
    stars
        How many, where, of which classes, how bright, how fast.
    extinction
        The integrator, and which of the stars are outliers.
    box
        The box of the map.
    seed
        The run's seed.

    Raises
    ------
    ConfigError
        If no star is bright enough to be seen.
    """
    known = _known(stars, box, seed)
    n = len(known["position"])
    velocity = generator_for(seed, "mock: velocities").standard_normal((n, 2))
    distance = np.linalg.norm(known["position"], axis=1, keepdims=True)
    everything = TrueStars(
        **known,
        proper_motion=stars.velocity_dispersion_km_per_s
        * velocity
        / (KM_PER_S_PER_KPC_MAS_PER_YR * distance),
        extinction=true_extinctions(field, known["position"], extinction, seed),
        excess=_draw_excess(extinction, n, seed),
    )
    limit = stars.magnitude_limit_mag
    if limit is None:
        return everything
    seen = everything.magnitude <= limit
    if not seen.any():
        raise ConfigError(
            f"mock.stars.magnitude_limit_mag = {limit:g}: none of {n} stars is that bright, "
            f"the brightest has V = {everything.magnitude.min():.1f}; raise the limit"
        )
    return everything.only(seen)


def _known(stars: MockStars, box: Box, seed: int) -> dict[str, np.ndarray]:
    """What there is of the stars before dust, motion and outliers, by the names of `TrueStars`."""
    placement = stars.placement
    if isinstance(placement, TableStars):
        tabled = read_stars(placement, box, stars.number, seed)
        offsets = placement.zero_points_mag
        zero_point = np.array([offsets.get(name, 0.0) for name in tabled.star_class.tolist()])
        return {**vars(tabled), "zero_point": zero_point}
    assert stars.number is not None
    kind = _draw_classes(stars, stars.number, seed)
    mean = np.array([c.absolute_magnitude_mag for c in stars.classes])[kind]
    scatter = generator_for(seed, "mock: absolute magnitudes").standard_normal(stars.number)
    return {
        "position": draw_positions(placement, box, stars.number, seed),
        "star_class": np.array([c.name for c in stars.classes])[kind],
        "zero_point": np.array([c.zero_point_mag for c in stars.classes])[kind],
        "absolute_magnitude": mean + stars.absolute_magnitude_scatter_mag * scatter,
    }


def _draw_classes(stars: MockStars, number: int, seed: int) -> np.ndarray:
    share = np.array([c.fraction for c in stars.classes])
    rng = generator_for(seed, "mock: classes")
    return rng.choice(len(share), number, p=share / share.sum())


def _draw_excess(extinction: MockExtinction, number: int, seed: int) -> np.ndarray:
    rng = generator_for(seed, "mock: outliers")
    outlier = rng.uniform(0, 1, number) < extinction.outlier_fraction
    return np.where(outlier, rng.exponential(extinction.outlier_scale_mag, number), 0.0)
