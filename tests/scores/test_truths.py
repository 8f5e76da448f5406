"""Samples against the truth: of the truth's own distribution they cover, others do not."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from dust3d.fields.fourier import FourierField, change_order, fourier_modes
from dust3d.fields.mean import ConstantMean, VerticalMean
from dust3d.fields.sum import SumField
from dust3d.rays.gridded import GriddedField, grid_for_field
from dust3d.scores.cells import Cells
from dust3d.scores.sky import column_ends, sky_directions, sky_pixels
from dust3d.scores.truths import Truths, low_passed
from dust3d.transforms.grid import cell_centres

HALF, ORDER, CELLS = (1.0, 1.0), (3, 3), (16, 16)
AXES = [cell_centres(h, n) for h, n in zip(HALF, CELLS, strict=True)]


def field(generator, width, about=None, order=ORDER):
    """A series of random coefficients about another's."""
    n = len(fourier_modes(order))
    cos, sin = width * generator.normal(size=(2, n))
    if about is not None:
        cos, sin = cos + about.cos, sin + about.sin
    return FourierField(order, HALF, cos, sin)


def as_map(values, **more):
    dims = ("x", "y", "z")
    variables = {"ln_density": values, "density": np.exp(values)} | more
    coords = dict(zip(dims, [*AXES, np.zeros(1)], strict=True))
    return xr.Dataset({k: (dims, np.asarray(v)[..., None]) for k, v in variables.items()}, coords)


def gridded(one):
    return GriddedField(one, grid_for_field(one, HALF))


def covered(width, seed, samples=15, spread=0.1, beyond=0.0):
    """Coverage by samples `width` times as wide as the truth is about their centre."""
    generator = np.random.default_rng(seed)
    centre = field(generator, 0.2)
    truth = field(generator, spread, centre)
    # of this many modes of variance spread^2 each, half in cosines, half in sines
    std = spread * np.sqrt(len(fourier_modes(ORDER)))
    if beyond:
        fine = field(generator, beyond, order=(6, 6))
        low, truth = (change_order(change_order(f, ORDER), (6, 6)) for f in (fine, truth))
        cos, sin = truth.cos + fine.cos - low.cos, truth.sin + fine.sin - low.sin
        truth = FourierField((6, 6), HALF, cos, sin)
    maps = [
        as_map(np.asarray(truth.on_grid([jnp.asarray(a) for a in AXES]))),
        as_map(
            np.asarray(centre.on_grid([jnp.asarray(a) for a in AXES])),
            ln_density_std=np.full(CELLS, width * std),
            info=np.where(AXES[0] > 0, 0.9, 0.1)[:, None] * np.ones(CELLS),
        ),
    ]
    cells = Cells.inside(maps[0], HALF, 0.8)
    positions = generator.uniform(-0.8, 0.8, (60, 2))
    truths = Truths.of(
        gridded(truth),
        maps[0],
        cells,
        positions=positions,
        ends=column_ends(sky_directions(2), HALF, 0.8, 0.7),
        low_passed_ln_density=low_passed(
            cells.whole(maps[0], "ln_density"), centre, cells.axes, ORDER, True
        ),
        width_kpc=0.3,
    )
    for _ in range(samples):
        one = field(generator, width * spread, centre)
        on_grid = gridded(one)
        truths.add(one, on_grid, on_grid.extinctions(positions))
    return truths.coverage(maps[0], maps[1], sky_pixels(positions, 4), 4)


def shares(found, percent):
    flat = {"extinction": found["extinction"], "column": found["column"]}
    for name in ("ln_density", "ln_density_total", "smoothed_density"):
        flat |= {f"{name}, {which}": found[name][which] for which in ("all", "informed")}
    return {name: entry[percent]["share"] for name, entry in flat.items()}


@pytest.mark.parametrize("width", [1.0, 0.4])
def test_samples_of_the_truths_distribution_cover_and_narrow_ones_do_not(width):
    many = [covered(width, seed) for seed in range(30)]
    json.dumps(many[0], allow_nan=False)
    for percent in ("68", "95"):
        rows = [shares(found, percent) for found in many]
        for name in rows[0]:
            values = np.array([row[name] for row in rows])
            error = max(values.std(ddof=1) / np.sqrt(len(values)), 0.01)
            if width == 1:
                assert values.mean() == pytest.approx(int(percent) / 100, abs=4 * error), name
            else:
                assert values.mean() < int(percent) / 100 - 4 * error, name


def test_finer_structure_is_outside_of_the_modes_but_inside_of_the_total():
    many = [covered(1.0, seed, beyond=0.1) for seed in range(15)]
    of_modes = np.mean([found["ln_density"]["all"]["68"]["share"] for found in many])
    # the total standard deviation here leaves it out, which shows
    total = np.mean([found["ln_density_total"]["all"]["68"]["share"] for found in many])
    assert of_modes == pytest.approx(0.68, abs=0.06)
    assert total < 0.6


def test_cells_that_stars_tell_of_are_counted_apart():
    found = covered(1.0, 0)["ln_density"]
    assert found["informed"]["n"] == found["all"]["n"] / 2


def test_without_a_resolution_no_density_is_smoothed():
    truth = field(np.random.default_rng(0), 0.1)
    dataset = as_map(np.asarray(truth.on_grid([jnp.asarray(a) for a in AXES])))
    with_spread = as_map(
        dataset["ln_density"].values[..., 0], ln_density_std=np.ones(CELLS), info=np.zeros(CELLS)
    )
    truths = Truths.of(
        gridded(truth),
        dataset,
        Cells.inside(dataset, HALF, 0.8),
        positions=np.full((2, 2), 0.1),
        ends=np.full((2, 2), 0.3),
        low_passed_ln_density=dataset["ln_density"].values[..., 0],
        width_kpc=None,
    )
    truths.add(truth, gridded(truth), np.zeros(2))
    found = truths.coverage(dataset, with_spread, np.arange(2), 4)
    assert "smoothed_density" not in found
    assert found["ln_density"]["informed"]["n"] == 0
    json.dumps(found, allow_nan=False)


def test_low_passing_keeps_what_a_fits_mean_and_modes_can_hold():
    axes = [cell_centres(h, n) for h, n in zip((1.0, 1.0, 0.4), (12, 12, 16), strict=True)]
    on = [jnp.asarray(axis) for axis in axes]
    generator = np.random.default_rng(0)
    n = len(fourier_modes((2, 2, 1)))
    series = FourierField((2, 2, 1), (1.0, 1.0, 0.4), *generator.normal(size=(2, n)))
    mean = VerticalMean((0.0, 0.1, 0.4), [0.5, -1.0, -3.0], 0.02)
    inside = np.asarray(series.on_grid(on))
    profile = np.asarray(mean.on_grid(on))
    # a profile as the fit's is kept, though modes of this order cannot follow it
    kept = low_passed(inside + profile, SumField((series, mean)), axes, (2, 2, 1), True)
    np.testing.assert_allclose(kept, inside + profile, atol=1e-10)
    without = SumField((series, ConstantMean(0.5)))
    flat = low_passed(inside + profile, without, axes, (2, 2, 1), True)
    assert np.abs(flat - inside - profile).max() > 0.1
    coefficients = generator.normal(size=(2, len(fourier_modes((1, 1, 4)))))
    fine = np.asarray(FourierField((1, 1, 4), (1.0, 1.0, 0.4), *coefficients).on_grid(on))
    slow = low_passed(fine, series, axes, (1, 1, 2), False)
    again = low_passed(slow, series, axes, (1, 1, 2), False)
    np.testing.assert_allclose(again, slow, atol=1e-10)
    assert np.std(slow) < np.std(fine)
