"""Clouds that are found where they were put, and nothing where there is none."""

import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from dust3d.config.clouds import Clouds
from dust3d.coords import directions
from dust3d.fields.structured import Disc, Filaments, StructuredField
from dust3d.scores.clouds import cloud_distances, cone

PLACES = {"near": (30.0, 5.0, 0.15), "far": (200.0, -10.0, 0.35), "nothing": (120.0, 20.0, 0.2)}
SETTINGS = {
    "window_kpc": (0.06, 0.45),
    "radius_deg": 3.0,
    "turns": 5,
    "targets": [
        {"name": name, "l_deg": l, "b_deg": b, "distance_kpc": d}
        for name, (l, b, d) in PLACES.items()
    ],
}


def sky(*, shift=1.0, names=("near", "far"), peak=30.0):
    """A thin layer with round clouds at some of the places, their distances off by a factor."""
    middle = np.stack(
        [
            shift * d * directions(np.array([l]), np.array([b]))[0]
            for l, b, d in (PLACES[name] for name in names)
        ]
    )
    number = len(middle)
    clouds = Filaments(
        jnp.full(number, np.log(peak)), middle, np.zeros((number, 3)), np.full(number, 0.012)
    )
    return StructuredField(factors=(Disc(-1.0, 0.0, 0.2),), added=(clouds,))


def found(fields, **changes):
    table = cloud_distances(fields, Clouds.model_validate(SETTINGS | changes))
    return table, {row["name"]: row for row in table["clouds"]}


def test_clouds_stand_where_they_were_put_and_no_others():
    table, rows = found([sky()])
    for name in ("near", "far"):
        assert rows[name]["distance_kpc"] == pytest.approx(PLACES[name][2], abs=0.006)
        assert rows[name]["detected"]
        assert rows[name]["agrees"]
        assert rows[name]["contrast"] > 5
    assert not rows["nothing"]["detected"]
    assert (table["detected"], table["agree"], table["of"]) == (2, 2, 3)
    assert table["turned"] == {"skies": 5, "detected": 0.0, "agree": 0.0}
    assert table["median_error_near"] < 0.04
    assert table["median_error_far"] < 0.02


def test_a_cloud_at_a_wrong_distance_is_detected_but_does_not_agree():
    table, rows = found([sky(shift=1.25)])
    assert rows["near"]["detected"]
    assert not rows["near"]["agrees"]
    assert table["agree"] == 0
    assert table["median_error_far"] == pytest.approx(0.25, abs=0.02)


def test_samples_give_the_error_of_a_distance():
    shifts = np.linspace(0.9, 1.1, 21)
    _, rows = found([sky(shift=s) for s in shifts])
    near = rows["near"]
    assert near["low_kpc"] == pytest.approx(0.15 * np.quantile(shifts, 0.16), abs=0.005)
    assert near["high_kpc"] == pytest.approx(0.15 * np.quantile(shifts, 0.84), abs=0.005)
    # of distances that nobody knows there is no detection
    _, rows = found([sky(shift=s) for s in np.linspace(0.5, 2.2, 21)])
    assert not rows["near"]["detected"]


def test_the_same_cloud_all_around_is_no_detection():
    everywhere = sky(names=("near",))
    turned = [directions(np.array([30 + 60.0 * i]), np.array([5.0]))[0] * 0.15 for i in range(6)]
    ring = Filaments(
        jnp.full(6, np.log(30.0)), np.stack(turned), np.zeros((6, 3)), np.full(6, 0.012)
    )
    field = StructuredField(factors=everywhere.factors, added=(ring,))
    _, rows = found([field])
    assert rows["near"]["contrast"] == pytest.approx(1, abs=0.05)
    assert not rows["near"]["detected"]


def test_a_cone_is_filled_evenly():
    rays = cone(77.0, -33.0, 4.0)
    axis = directions(np.array([77.0]), np.array([-33.0]))[0]
    np.testing.assert_allclose(np.linalg.norm(rays, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(rays[0], axis, atol=1e-12)
    angles = np.degrees(np.arccos(np.clip(rays @ axis, -1, 1)))
    assert angles.max() < 4
    np.testing.assert_allclose(
        rays.mean(axis=0) / np.linalg.norm(rays.mean(axis=0)), axis, atol=1e-9
    )
    # of a disc: the mean square of the radius is half of the largest
    assert np.mean(angles**2) == pytest.approx(8, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window_kpc": (0.2, 0.45)}, "published distance of near"),
        ({"targets": [SETTINGS["targets"][0]] * 2}, "two clouds are called 'near'"),
        ({"targets": []}, "at least 1"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        Clouds.model_validate(SETTINGS | changes)
