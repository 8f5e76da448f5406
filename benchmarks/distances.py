"""What stars with uncertain distances are good for, by switching the average over them off.

    python benchmarks/distances.py

Mock skies in the plane: a Fourier field drawn from the prior, stars drawn from the distance prior,
half of them with parallaxes good to 1 %, half to 20 % (at 0.4 kpc, the median distance). Each is
fitted with the good stars alone; with all, at their median distances; and with all, the likelihood
averaged over the distance posteriors.
Writes results/bench/distances.json: how near each comes to the truth.
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from dust3d import runtime
from dust3d.distances import distance_cells, distance_posterior
from dust3d.fields.base import Field
from dust3d.inference.build import target_for
from dust3d.inference.dense import DenseProblem
from dust3d.inference.newton import polish
from dust3d.inference.prior import Xi
from dust3d.inference.settings import FitSettings
from dust3d.inference.target import Target
from dust3d.keys import generator_for, key_for
from dust3d.observations import Observations
from dust3d.rays.nodes import extinctions
from dust3d.rays.quadrature import nodes_for

ROOT = Path(__file__).resolve().parent.parent
BOX = (1.5, 1.5)
REACH_KPC, FARTHEST_KPC = 0.7, 1.4
SCALE_KPC = 0.15
TYPICAL_KPC = 0.4
GOOD, BAD = 0.01, 0.2
EDGES_KPC = (0.0, 0.25, 0.4, 0.55, 0.7)
SETTINGS: dict[str, Any] = {
    "box": {"half_widths_kpc": BOX},
    "prior": {"std": 1.0, "mean": {"kind": "constant", "density_mag_per_kpc": 1.0, "std": 0.3}},
    "likelihood": {},
    "rays": {},
    "optimiser": {"precision": "float64"},
}
LIKELIHOODS: dict[str, dict[str, Any]] = {
    "gaussian": {"error_inflation": {"median": 1.0, "fit": False}},
    "student_t": {"kind": "student_t", "floor_mag": {"median": 0.03}},
}


@dataclass(frozen=True)
class Sky:
    """A true field and its stars.

    Parameters
    ----------
    truth
        ln rho.
    stars
        At their median distances, with posteriors in cells.
    bad
        Which of them have uncertain distances.
    """

    truth: Field
    stars: Observations
    bad: np.ndarray


def settings_of(order: int, likelihood: str) -> FitSettings:
    """Settings of a fit."""
    fits = {"fourier": {"orders": [[order, order]]}}
    return FitSettings.parse(SETTINGS | {"likelihood": LIKELIHOODS[likelihood], "fits": fits})


def draw(seed: int, n: int, order: int, cells: int, noise_mag: float, good_every: int = 2) -> Sky:
    """A mock sky, of whose stars one in so many has a good distance."""
    rng = generator_for(seed, "distances: stars")
    target = target_for(settings_of(order, "gaussian"), 1, seed, jnp.dtype("float64"))
    flat, unravel = ravel_pytree(target.start(jax.random.key(0))["field"])
    drawn = jax.random.normal(key_for(seed, "distances: truth"), flat.shape)
    truth = target.prior.field(unravel(drawn))
    distance = rng.gamma(3.0, SCALE_KPC, 4 * n)
    distance = distance[distance < FARTHEST_KPC][:n]
    angle = rng.uniform(0, 2 * np.pi, n)
    directions = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    bad = np.arange(n) % good_every > 0
    # errors must not tell distances: the posterior knows nothing of that
    error = np.where(bad, BAD, GOOD) / TYPICAL_KPC
    parallax = 1 / distance + error * rng.standard_normal(n)
    true = extinctions(truth, distance[:, None] * directions, nodes_for((order, order), BOX, 1.0))
    median, _ = distance_posterior(parallax, error, SCALE_KPC)
    posteriors = distance_cells(parallax, error, SCALE_KPC, cells)
    faces = np.min(BOX / np.abs(directions), axis=1)
    stars = Observations(
        np.minimum(median, 0.999 * faces)[:, None] * directions,
        true + noise_mag * rng.standard_normal(n),
        np.full(n, noise_mag),
        np.zeros(n, np.int64),
        ("",),
        posteriors.within(0.999 * faces),
    )
    return Sky(truth, stars, bad)


def fit(
    stars: Observations, order: int, likelihood: str, start: Xi | None = None
) -> tuple[Xi, Field, dict[str, Any]]:
    """Parameters and field at the maximum, and how the climb went."""
    settings = settings_of(order, likelihood)
    target: Target = target_for(settings, 1, 0, jnp.dtype("float64"))
    nodes = nodes_for((order, order), BOX, stars.reach_kpc)
    start = target.start(jax.random.key(0)) if start is None else start
    problem = DenseProblem(target, stars, nodes, start)
    xi, steps = polish(problem, start, max_steps=80, tolerance=1e-4 * len(stars), title="fit")
    found = {
        "steps": len(steps),
        "gain_left": steps[-1].predicted_gain,
        "inflation": float(target.likelihood.nuisance(xi["likelihood"]).error_inflation),
    }
    _, metric = problem.gradient_and_metric(ravel_pytree(xi)[0])
    found["parameters"] = len(metric)
    return xi, target.prior.field(xi["field"]), found


def judge(sky: Sky, field: Field, seed: int) -> dict[str, Any]:
    """Correlation, rms and bias of ln rho inside the reach; bias of A with distance."""
    rng = generator_for(seed, "distances: places")
    radius = REACH_KPC * np.sqrt(rng.uniform(0, 1, 4000))
    angle = rng.uniform(0, 2 * np.pi, 4000)
    places = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    fitted, true = (np.asarray(f.at(jnp.asarray(places))) for f in (field, sky.truth))
    error = fitted - true
    nodes = 2 * nodes_for((8, 8), BOX, REACH_KPC)
    a, b = (extinctions(f, places, nodes) for f in (field, sky.truth))
    shell = np.digitize(radius, EDGES_KPC) - 1
    return {
        "correlation": float(np.corrcoef(fitted, true)[0, 1]),
        "rms": float(np.sqrt(np.mean(error**2))),
        "bias": float(np.mean(error)),
        "extinction_rms_mag": float(np.sqrt(np.mean((a - b) ** 2))),
        "extinction_bias_mag": [float(np.mean((a - b)[shell == i])) for i in range(4)],
    }


def compare(
    seed: int,
    n: int,
    order: int,
    cells: int,
    likelihood: str,
    noise_mag: float,
    good_every: int = 2,
) -> dict[str, Any]:
    """One sky in all ways; averages begin where the fit without ended, as after the workhorse."""
    sky = draw(seed, n, order, cells, noise_mag, good_every)
    good = np.flatnonzero(~sky.bad)
    ways = {
        "good stars, known distances": replace(sky.stars, cells=None).take(good),
        "all stars, median distances": replace(sky.stars, cells=None),
        "all stars, averaged": sky.stars,
    }
    table: dict[str, Any] = {}
    start: dict[bool, Xi] = {}
    for name, stars in ways.items():
        everybody = len(stars) == n
        start[everybody], field, climb = fit(stars, order, likelihood, start.get(everybody))
        table[name] = judge(sky, field, seed) | climb
    return table


def main() -> None:
    """Fit all skies, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=3000)
    parser.add_argument("--order", type=int, default=5)
    parser.add_argument("--cells", type=int, default=7)
    parser.add_argument("--noise", type=float, default=0.1, help="of extinctions [mag]")
    parser.add_argument("--skies", type=int, default=6)
    parser.add_argument("--likelihood", choices=list(LIKELIHOODS), default="gaussian")
    parser.add_argument("--output", type=Path, default=ROOT / "results/bench/distances.json")
    options = parser.parse_args()
    runtime.configure()
    skies = []
    for seed in range(options.skies):
        arguments = (seed, options.stars, options.order, options.cells, options.likelihood)
        skies.append(compare(*arguments, options.noise))
        for name, row in skies[-1].items():
            print(f"{seed} {name}: {json.dumps(row)}", flush=True)
    print()
    for name in skies[0]:
        rows = [sky[name] for sky in skies]
        means = {key: np.mean([row[key] for row in rows], axis=0) for key in rows[0]}
        error = np.std([row["rms"] for row in rows]) / np.sqrt(len(rows))
        shells = " ".join(f"{value:+.4f}" for value in means["extinction_bias_mag"])
        line = f"correlation {means['correlation']:.3f}, rms {means['rms']:.3f} +- {error:.3f}"
        line += f", bias {means['bias']:+.3f}; A rms {means['extinction_rms_mag']:.4f} mag"
        print(f"{name}: {line}, bias {shells}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    content = {key: value for key, value in vars(options).items() if key != "output"}
    options.output.write_text(json.dumps(content | {"skies": skies}, indent=1))


if __name__ == "__main__":
    main()
