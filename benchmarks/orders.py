"""How often evidence and held-out stars name the right order, on mocks whose truth is known.

    python benchmarks/orders.py --mocks 20

Each mock is a sky in the plane whose ln rho has the prior's own modes up to one of the orders that
are fitted, drawn at random among the inner ones of the grid. Fits of all orders go to their maxima
by dense Newton steps, each begun where the one below ended. What is counted: how often the log
evidence is highest at the true order; and how often the order that held-out stars choose is within
one standard error of the best, which is that of the highest expected density on many stars without
noise of their own. Writes results/bench/orders.json.
"""

import argparse
import json
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from scipy.stats import norm

from dust3d import runtime
from dust3d.fields.base import Field
from dust3d.fields.fourier import change_order
from dust3d.inference.build import target_for
from dust3d.inference.dense import DenseProblem
from dust3d.inference.evidence import dense_log_determinant, laplace_evidence
from dust3d.inference.newton import polish
from dust3d.inference.prior import Xi
from dust3d.inference.settings import FitSettings
from dust3d.inference.target import Target
from dust3d.keys import generator_for
from dust3d.observations import Observations
from dust3d.rays.nodes import moments
from dust3d.scores.orders import Candidate, choose

ROOT = Path(__file__).resolve().parent.parent
FLOAT = jnp.dtype("float64")
ORDERS = (3, 4, 5, 6, 8, 10)
# of those, where the truth may lie
INNER = (4, 5, 6, 8)
BOX = (1.0, 1.0)
SCALE_KPC = 0.25
NODES = 32
NOISE_MAG = 0.03
TOLERANCE = 0.02
MANY = 4000


def settings_of(order: int) -> FitSettings:
    """A fit in two dimensions; all orders have one prior."""
    content = {
        "box": {"half_widths_kpc": BOX},
        "prior": {
            "std": 1.0,
            "std_scale_kpc": SCALE_KPC,
            "mean": {"kind": "constant", "density_mag_per_kpc": 1.0, "std": 1.0},
        },
        "likelihood": {},
        "rays": {},
        "optimiser": {"precision": "float64"},
        "fits": {"fourier": {"orders": [[order, order]]}},
    }
    return FitSettings.parse(content)


@eqx.filter_jit
def _extinctions(field: Field, positions: Array) -> Array:
    return moments(field, positions, nodes=NODES)[0]


def extinctions(target: Target, xi: Xi, positions: np.ndarray) -> np.ndarray:
    """Extinctions of stars behind a field, by exact rays."""
    return np.asarray(_extinctions(target.prior.field(xi["field"]), jnp.asarray(positions)))


class Refilled(DenseProblem):
    """Fits of one order to stars at the same places: nothing is compiled anew for a sky."""

    def see(self, stars: Observations) -> None:
        """Take other extinctions."""
        shape = self._stars.extinction.shape
        filled = np.resize(stars.extinction, shape)
        self._stars = self._stars._replace(extinction=jnp.asarray(filled, FLOAT))


@cache
def problem_of(order: int, stars: int) -> tuple[Target, Refilled]:
    """The posterior of an order, and its way up."""
    target = target_for(settings_of(order), 1, 0, FLOAT)
    like = target.start(jax.random.key(0))
    return target, Refilled(target, at_places(stars, "train"), NODES, like)


def at_places(number: int, purpose: str) -> Observations:
    """Stars all over the middle of the box, without extinctions yet."""
    positions = generator_for(0, f"stars of {purpose}").uniform(-0.8, 0.8, (number, 2))
    nothing = np.zeros(number)
    return Observations(positions, nothing, np.full(number, NOISE_MAG), nothing.astype(int), ("A",))


def patches(positions: np.ndarray, number: int = 16) -> np.ndarray:
    """Sectors of the plane, in which stars share sightlines."""
    angle = np.arctan2(positions[:, 1], positions[:, 0])
    return np.floor((angle / (2 * np.pi) + 0.5) * number).astype(int) % number


def started(target: Target, below: tuple[Target, Xi] | None, order: int) -> Xi:
    """Where a fit begins: the end of the one below."""
    xi = target.start(jax.random.key(0))
    if below is None:
        return xi
    lower, there = below
    series, mean = lower.prior.field(there["field"]).parts
    xi["field"]["varying"] = target.prior.parts["varying"].whiten(
        change_order(series, (order, order), True)
    )
    xi["field"]["mean"] = target.prior.parts["mean"].whiten(mean)
    return {**xi, "likelihood": there["likelihood"]}


@dataclass(frozen=True)
class Sky:
    """Stars to fit, held-out ones, and many without noise of their own but with its size."""

    true: int
    train: Observations
    heldout: Observations
    many: Observations


def drawn(seed: int, options: argparse.Namespace) -> Sky:
    """A sky of one of the inner orders."""
    rng = generator_for(seed, "mock of the choice of orders")
    true = int(rng.choice(INNER))
    truth = target_for(settings_of(true), 1, 0, FLOAT)
    xi = jax.tree.map(
        lambda a: jnp.asarray(rng.standard_normal(a.shape)), truth.start(jax.random.key(0))
    )
    parts = []
    for number, purpose in (
        (options.stars, "train"),
        (options.heldout, "heldout"),
        (MANY, "many"),
    ):
        stars = at_places(number, purpose)
        noise = NOISE_MAG * rng.standard_normal(number) * (purpose != "many")
        exact = extinctions(truth, xi, stars.positions)
        parts.append(replace(stars, extinction=exact + noise))
    return Sky(true, *parts)


def fitted(problem: Refilled, start: Xi, sky: Sky) -> tuple[Xi, float]:
    """The maximum of a fit, and its log evidence."""
    problem.see(sky.train)
    xi, steps = polish(problem, start, max_steps=40, tolerance=TOLERANCE, title="benchmark")
    metric = problem.gradient_and_metric(ravel_pytree(xi)[0])[1]
    reached = steps[-1].log_posterior + steps[-1].predicted_gain
    return xi, laplace_evidence(reached, dense_log_determinant(metric))


def log_density(target: Target, xi: Xi, stars: Observations) -> tuple[np.ndarray, float]:
    """ln p(A_obs) of stars at the maximum of a fit, and by how much its errors are inflated."""
    inflation = float(target.likelihood.nuisance(xi["likelihood"]).error_inflation)
    residual = stars.extinction - extinctions(target, xi, stars.positions)
    return norm.logpdf(residual, scale=inflation * stars.sigma), inflation


def mock(seed: int, options: argparse.Namespace) -> dict:
    """One sky: its true order, and what each criterion says of it."""
    sky = drawn(seed, options)
    candidates, expected, below = [], [], None
    for order in ORDERS:
        target, problem = problem_of(order, options.stars)
        xi, value = fitted(problem, started(target, below, order), sky)
        density, inflation = log_density(target, xi, sky.heldout)
        candidates.append(Candidate(str(order), order**2, density, value))
        # the mean over the noise that these stars would have
        without, _ = log_density(target, xi, sky.many)
        expected.append(float(np.mean(without) - 0.5 / inflation**2))
        below = target, xi
    return judged(sky.true, choose(candidates, patches(sky.heldout.positions)), expected)


def judged(true: int, found: dict, expected: list[float]) -> dict:
    """What a choice is worth."""
    names = [row["name"] for row in found["fits"]]
    worth, best = dict(zip(names, expected, strict=True)), max(expected)
    error = {row["name"]: row["heldout"]["difference_error"] or 0.0 for row in found["fits"]}
    ideal = names[int(np.argmax(expected))]
    chosen = {
        "best": found["heldout"]["best"],
        "simplest": found["heldout"]["simplest_within_one_standard_error"],
    }
    # of the difference of the two on the held-out stars; both errors are to the sample's best
    within = {
        kind: best - worth[name] <= max(error[name], error[ideal]) for kind, name in chosen.items()
    }
    return {
        "true": true,
        "evidence": int(found["evidence"]["winner"]),
        "probability": found["evidence"]["probabilities"][str(true)],
        "ideal": int(ideal),
        "heldout": {kind: int(name) for kind, name in chosen.items()},
        "within": within,
        "ln_evidence": [row["ln_evidence"] for row in found["fits"]],
        "expected": expected,
    }


def main() -> None:
    """Print a line for each mock, and the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mocks", type=int, default=20)
    parser.add_argument("--stars", type=int, default=2000)
    parser.add_argument("--heldout", type=int, default=1000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--output", type=Path, default=ROOT / "results/bench/orders.json")
    options = parser.parse_args()
    runtime.configure()
    rows, begun = [], time.monotonic()
    for seed in range(options.first, options.first + options.mocks):
        row = {"seed": seed} | mock(seed, options)
        rows.append(row)
        print(
            f"seed {seed}: true {row['true']}, evidence {row['evidence']} "
            f"(p of the true one {row['probability']:.2f}), ideal {row['ideal']}, held-out best "
            f"{row['heldout']['best']}, simplest within an error {row['heldout']['simplest']}, "
            f"{time.monotonic() - begun:.0f} s",
            flush=True,
        )
    shares = {
        "evidence names the true order": np.mean([r["true"] == r["evidence"] for r in rows]),
        "held-out best is within one standard error": np.mean([r["within"]["best"] for r in rows]),
        "simplest choice is within one standard error": np.mean(
            [r["within"]["simplest"] for r in rows]
        ),
    }
    for name, share in shares.items():
        print(f"{name}: {share:.0%} of {len(rows)}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    shares = {name: float(share) for name, share in shares.items()}
    options.output.write_text(json.dumps({"shares": shares, "mocks": rows}, indent=1))


if __name__ == "__main__":
    main()
