"""Distances of known clouds in a map: of the strongest peak of density in their direction."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from dust3d.config.clouds import Cloud, Clouds
from dust3d.coords import directions
from dust3d.fields.base import Field
from dust3d.rays.nodes import density_at

_STEP_KPC = 0.004
# rays of a cone: its axis, and rings of so many
_RINGS = (6, 12)
# a distance counts as found within this part of the published one, nearer and farther
_NEAR_KPC, _NEAR, _FAR = 0.25, 0.10, 0.20
_SPREAD = 0.25


@dataclass(frozen=True)
class Found:
    """A cloud in a map.

    Parameters
    ----------
    name, published_kpc
        As it was given.
    distance_kpc, low_kpc, high_kpc
        Median and central 68 % of the peak's distance over the samples; without samples all three
        are the same.
    density, contrast
        Median density of the peak [mag / kpc], and over that of turned directions there.
    detected
        Whether the peak stands out, its distance is known to a quarter, and it lies inside the
        window, not at its end.
    agrees
        Whether it is detected within 10 % (to 250 pc) or 20 % of the published distance.
    """

    name: str
    published_kpc: float
    distance_kpc: float
    low_kpc: float
    high_kpc: float
    density: float
    contrast: float
    detected: bool
    agrees: bool


def cone(l_deg: float, b_deg: float, radius_deg: float) -> Float[np.ndarray, "rays 3"]:
    """Unit vectors that fill a cone about a direction, each for about the same area."""
    axis = directions(np.array([l_deg]), np.array([b_deg]))[0]
    east = np.array([-np.sin(np.radians(l_deg)), np.cos(np.radians(l_deg)), 0.0])
    north = np.cross(axis, east)
    rays = [axis]
    edges = np.cumsum([1, *_RINGS])
    for ring, number in enumerate(_RINGS):
        # half of the ring's area on either side
        share = np.sqrt((edges[ring] + edges[ring + 1]) / 2 / edges[-1])
        angle = np.radians(radius_deg) * share
        turn = 2 * np.pi * np.arange(number) / number
        around = np.cos(turn)[:, None] * east + np.sin(turn)[:, None] * north
        rays.extend(np.cos(angle) * axis + np.sin(angle) * around)
    return np.stack(rays)


def _profiles(
    field: Field, settings: Clouds, reach: Float[np.ndarray, " s"]
) -> Float[np.ndarray, "turns clouds s"]:
    """Mean density [mag / kpc] over the cone of each cloud, for each turn; the first is none."""
    steps = 360.0 / (settings.turns + 1)
    cones = np.stack(
        [
            [cone(c.l_deg + i * steps, c.b_deg, settings.radius_deg) for c in settings.targets]
            for i in range(settings.turns + 1)
        ]
    )
    positions = cones[..., None, :] * reach[:, None]
    density = density_at(field, positions.reshape(-1, 3))
    return density.reshape(positions.shape[:-1]).mean(axis=2)


def _one(
    cloud: Cloud,
    distance: Float[np.ndarray, " n"],
    density: Float[np.ndarray, " n"],
    level: float,
    settings: Clouds,
) -> Found:
    """One cloud in one sky, from the peaks of all samples; `level` is what is usual there."""
    low, middle, high = (float(q) for q in np.quantile(distance, (0.16, 0.5, 0.84)))
    peak = float(np.median(density))
    near, far = settings.window_kpc
    inside = near + 1.5 * _STEP_KPC < middle < far - 1.5 * _STEP_KPC
    known = (high - low) / 2 <= _SPREAD * middle
    detected = inside and known and peak >= settings.contrast * level
    share = _NEAR if cloud.distance_kpc <= _NEAR_KPC else _FAR
    agrees = detected and abs(middle / cloud.distance_kpc - 1) <= share
    published = (cloud.name, cloud.distance_kpc)
    return Found(*published, middle, low, high, peak, peak / level, detected, agrees)


def cloud_distances(fields: list[Field], settings: Clouds) -> dict[str, Any]:
    """Distances of clouds in a map, and what chance would give.

    Parameters
    ----------
    fields
        Samples of a posterior, or one field.
    settings
        The clouds and how they are looked for.

    Returns
    -------
    `clouds`: a `Found` of each, in the order of the list; `detected` and `agree`: how many are
    (of `of`); `median_error_near`, `median_error_far`: median |distance / published - 1| of
    those detected to 250 pc and beyond; `turned`: the same directions turned in longitude, how
    many `detected` and `agree` on average.
    """
    reach = np.arange(settings.window_kpc[0], settings.window_kpc[1] + _STEP_KPC / 2, _STEP_KPC)
    peaks, densities, level = [], [], np.zeros((len(settings.targets), len(reach)))
    for field in fields:
        profile = _profiles(field, settings, reach)
        best = profile.argmax(axis=-1)
        peaks.append(reach[best])
        densities.append(np.take_along_axis(profile, best[..., None], axis=-1)[..., 0])
        level += np.median(profile[1:], axis=0) / len(fields)
    distance, density = np.stack(peaks), np.stack(densities)

    def found(turn: int, i: int) -> Found:
        middle = np.median(distance[:, turn, i])
        usual = float(np.interp(middle, reach, level[i]))
        return _one(settings.targets[i], distance[:, turn, i], density[:, turn, i], usual, settings)

    clouds = range(len(settings.targets))
    return _summary([[found(turn, i) for i in clouds] for turn in range(settings.turns + 1)])


def _summary(skies: list[list[Found]]) -> dict[str, Any]:
    here, turned = skies[0], [found for sky in skies[1:] for found in sky]

    def error(some: list[Found]) -> float | None:
        off = [abs(f.distance_kpc / f.published_kpc - 1) for f in some if f.detected]
        return float(np.median(off)) if off else None

    def number(sky: list[Found], key: str) -> int:
        return sum(getattr(found, key) for found in sky)

    return {
        "clouds": [asdict(found) for found in here],
        "of": len(here),
        "detected": number(here, "detected"),
        "agree": number(here, "agrees"),
        "median_error_near": error([f for f in here if f.published_kpc <= _NEAR_KPC]),
        "median_error_far": error([f for f in here if f.published_kpc > _NEAR_KPC]),
        "turned": {
            "skies": len(skies) - 1,
            "detected": number(turned, "detected") / max(1, len(skies) - 1),
            "agree": number(turned, "agrees") / max(1, len(skies) - 1),
        },
    }
