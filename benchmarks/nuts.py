"""NUTS (blackjax) on the posterior of small fits: the truth about how far its samples are right.

    python benchmarks/nuts.py --order 6 6 2 --stars 1500

Stars are drawn from the fit's own prior and likelihood. NUTS walks in parameters whitened by the
metric at the maximum; `PosteriorSampler` draws about that maximum, with and without corrections for
the posterior's curvature, and about the centre that it moves to. Writes results/bench/nuts.json:
mean and standard deviation of ln rho and extinctions at fixed points, of the mean, the scatter and
the zero points, by each, with Monte Carlo errors from effective sample sizes.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.diagnostics import effective_sample_size, rhat
from jax.flatten_util import ravel_pytree

from dust3d import runtime
from dust3d.inference.batches import Batches, NodeSightlines, rows_in_order
from dust3d.inference.build import target_for
from dust3d.inference.dense import DenseProblem
from dust3d.inference.newton import polish
from dust3d.inference.posterior import PosteriorSampler
from dust3d.inference.products import Products
from dust3d.inference.settings import FitSettings
from dust3d.inference.target import Target
from dust3d.keys import generator_for, key_for
from dust3d.observations import Observations
from dust3d.rays.nodes import moments

ROOT = Path(__file__).resolve().parent.parent
BOX = (1.0, 0.8, 0.4)
DOUBLE = jnp.dtype("float64")
LIKELIHOODS = {
    "gaussian": {"kind": "gaussian", "zero_point_std_mag": 0.02},
    "full": {
        "kind": "student_t",
        "floor_mag": {"median": 0.03},
        "substructure_kpc": {"median": 0.01},
        "zero_point_std_mag": 0.02,
    },
}
POINTS = 12


class Fit(NamedTuple):
    """A posterior, its stars, and its maximum.

    Parameters
    ----------
    target, stars, nodes
        The posterior, its stars, and the nodes on each ray.
    batches
        The stars with exact rays in double precision, all in one batch.
    like
        Whitened parameters, for their structure.
    flat
        Those of the maximum.
    metric
        1 + J^T W J there.
    """

    target: Target
    stars: Observations
    nodes: int
    batches: Batches
    like: Any
    flat: jax.Array
    metric: np.ndarray


def drawn_stars(
    target: Target, xi: Any, number: int, nodes: int, generator: np.random.Generator
) -> Observations:
    """Stars of two classes whose extinctions follow the likelihood at some parameters."""
    positions = 0.8 * generator.uniform(-1, 1, (number, len(BOX))) * BOX
    sigma, classes = generator.uniform(0.03, 0.1, number), np.arange(number) % 2
    blank = Observations(positions, np.zeros(number), sigma, classes, ("A", "F"))
    rays, batch, stars = batches_of(blank, nodes).at(0)
    field = target.prior.field(xi["field"])
    nuisance = target.likelihood.nuisance(xi["likelihood"])
    both = rays.moments(field, batch, target.likelihood.needs_second_moment)
    mean, variance = (np.asarray(a) for a in target.likelihood.moments(nuisance, *both, stars))
    settings = target.likelihood.settings
    if settings.kind == "student_t":
        noise = generator.standard_t(settings.degrees_of_freedom, number)
    else:
        noise = generator.standard_normal(number)
    extinction = mean + np.sqrt(variance) * noise
    return Observations(positions, extinction, sigma, classes, ("A", "F"))


def batches_of(stars: Observations, nodes: int) -> Batches:
    """All stars in one batch, with exact rays in double precision."""
    rows = rows_in_order(len(stars), len(stars))
    return Batches(NodeSightlines(stars.positions, rows, nodes, DOUBLE), stars, rows, DOUBLE)


def small_fit(
    order: tuple[int, ...],
    number: int,
    *,
    likelihood: dict[str, Any] = LIKELIHOODS["full"],
    nodes: int = 24,
    seed: int = 17,
) -> Fit:
    """Stars drawn from the prior and the likelihood, and the maximum of their posterior."""
    sections = {"box": {"half_widths_kpc": BOX}, "prior": {"std": 1.0}, "rays": {}}
    sections["optimiser"] = {"precision": "float64"}
    sections |= {"likelihood": likelihood, "fits": {"fourier": {"orders": [order]}}}
    target = target_for(FitSettings.parse(sections), 2, seed, DOUBLE)
    like = target.start(jax.random.key(0))
    start, unravel = ravel_pytree(like)
    generator = generator_for(seed, "stars for NUTS")
    truth = unravel(jnp.asarray(generator.standard_normal(start.size)))
    stars = drawn_stars(target, truth, number, nodes, generator)
    problem = DenseProblem(target, stars, nodes, like)
    xi, _ = polish(problem, like, max_steps=60, tolerance=1e-8, title="maximum")
    flat, _ = ravel_pytree(xi)
    _, metric = problem.gradient_and_metric(flat)
    return Fit(target, stars, nodes, batches_of(stars, nodes), like, flat, metric)


def quantities(fit: Fit, seed: int = 17) -> tuple[list[str], Callable[[jax.Array], jax.Array]]:
    """Names of what is compared, and the function from whitened parameters to its values."""
    generator = generator_for(seed, "points for NUTS")
    points = 0.8 * generator.uniform(-1, 1, (POINTS, len(BOX))) * BOX
    ends = jnp.asarray(0.8 * generator.uniform(-1, 1, (POINTS, len(BOX))) * BOX)
    _, unravel = ravel_pytree(fit.like)
    scatter = [name for name in fit.like["likelihood"] if name != "zero_points"]
    names = [f"{what} {i}" for what in ("ln rho", "extinction") for i in range(POINTS)]
    names += ["mean", *(f"ln {name}" for name in scatter)]
    if fit.target.likelihood.fits_zero_points:
        names += [f"zero point {name}" for name in fit.stars.class_names]

    def values(flat: jax.Array) -> jax.Array:
        xi = unravel(flat)
        field = fit.target.prior.field(xi["field"])
        nuisance = fit.target.likelihood.nuisance(xi["likelihood"])
        found = [field.at(jnp.asarray(points)), moments(field, ends, nodes=fit.nodes)[0]]
        found.append(field.parts[list(fit.target.prior.parts).index("mean")].ln_density)
        found += [jnp.log(getattr(nuisance, name)) for name in scatter]
        if fit.target.likelihood.fits_zero_points:
            found.append(nuisance.zero_points_mag)
        return jnp.concatenate([jnp.atleast_1d(part) for part in found])

    return names, values


class Chains(NamedTuple):
    """What NUTS found.

    Parameters
    ----------
    flat
        Whitened parameters, shape (chains, draws, p).
    divergent
        Part of the draws whose trajectories diverged.
    gradients
        How many were computed after the warm-up.
    """

    flat: jax.Array
    divergent: float
    gradients: int


def nuts(fit: Fit, *, chains: int, warmup: int, draws: int, seed: int = 17) -> Chains:
    """Draws of the posterior by NUTS, in parameters whitened by the metric at the maximum."""
    rays, batch, stars = fit.batches.at(0)
    _, unravel = ravel_pytree(fit.like)
    half = jnp.asarray(np.linalg.inv(np.linalg.cholesky(fit.metric)).T)

    def log_density(z: jax.Array) -> jax.Array:
        xi = unravel(fit.flat + half @ z)
        return fit.target.log_prior(xi) + fit.target.log_likelihood(xi, rays, batch, stars)

    @jax.jit
    def chain(key: jax.Array):
        first, warm, walk = jax.random.split(key, 3)
        adaptation = blackjax.window_adaptation(blackjax.nuts, log_density)
        start = jax.random.normal(first, fit.flat.shape)
        (state, parameters), _ = adaptation.run(warm, start, warmup)
        step = blackjax.nuts(log_density, **parameters).step

        def one(state: Any, key: jax.Array):
            state, info = step(key, state)
            return state, (state.position, info.is_divergent, info.num_integration_steps)

        return jax.lax.scan(one, state, jax.random.split(walk, draws))[1]

    keys = jax.random.split(key_for(seed, "NUTS"), chains)
    z, divergent, steps = (jnp.stack(a) for a in zip(*map(chain, keys), strict=True))
    return Chains(fit.flat + z @ half.T, float(jnp.mean(divergent)), int(jnp.sum(steps)))


def sampler(fit: Fit, *, steps: int, tolerance: float) -> PosteriorSampler:
    """What draws around the maximum of a fit, with the exact inverse of the metric."""
    products = Products(fit.target, fit.batches, fit.like)
    inverse = jnp.asarray(np.linalg.inv(fit.metric))
    precondition = jax.jit(lambda v: inverse @ v)
    options = {"tolerance": tolerance, "most": 1000, "steps": steps}
    return PosteriorSampler(products, fit.flat, precondition, **options)


def spread(values: np.ndarray, chains: bool) -> dict[str, np.ndarray]:
    """Mean and standard deviation of (chains, draws, k) values, with Monte Carlo errors."""
    centre = values.mean(axis=(0, 1))
    squares = (values - centre) ** 2
    variance = squares.mean(axis=(0, 1))
    size = square_size = np.full(values.shape[2], float(np.prod(values.shape[:2])))
    if chains:
        size = np.asarray(effective_sample_size(values))
        square_size = np.asarray(effective_sample_size(squares))
    std = np.sqrt(variance)
    return {
        "mean": centre,
        "std": std,
        "mean_error": std / np.sqrt(size),
        "std_error": squares.std(axis=(0, 1)) / np.sqrt(square_size) / (2 * std),
    }


def comparison(names: list[str], truth: dict, found: dict) -> list[dict[str, Any]]:
    """Of each quantity the ratio of the stds and the shift of the mean [std], with errors."""
    ratio = found["std"] / truth["std"]
    ratio_error = ratio * np.hypot(
        found["std_error"] / found["std"], truth["std_error"] / truth["std"]
    )
    shift = (found["mean"] - truth["mean"]) / truth["std"]
    shift_error = np.hypot(found["mean_error"], truth["mean_error"]) / truth["std"]
    columns = {
        "nuts_mean": truth["mean"],
        "nuts_std": truth["std"],
        "std_ratio": ratio,
        "std_ratio_error": ratio_error,
        "shift": shift,
        "shift_error": shift_error,
    }
    return [
        {"name": name} | {key: float(column[i]) for key, column in columns.items()}
        for i, name in enumerate(names)
    ]


KINDS = ("linear", "curved", "centred")


def drawn_samples(
    fit: Fit, number: int, *, steps: int, pairs: int, rounds: int, tolerance: float, seed: int = 17
) -> tuple[dict[str, jax.Array], dict[str, Any]]:
    """Samples about the maximum, straight and curved, and about the centre; and what they took."""
    started = time.perf_counter()
    about = sampler(fit, steps=steps, tolerance=tolerance)
    centred = about.centred(key_for(seed, "centre"), pairs=pairs, rounds=rounds)
    keys = jax.random.split(key_for(seed, "samples"), number)
    drawn = {"curved": [about.draw(k) for k in keys], "centred": [centred.draw(k) for k in keys]}
    places = {kind: jnp.stack([one.flat for one in some]) for kind, some in drawn.items()}
    places["linear"] = jnp.stack([one.linear for one in drawn["curved"]])
    took = {
        "samples_seconds": time.perf_counter() - started,
        "missed": [one.missed for one in drawn["centred"]],
        "products": [one.products for one in drawn["centred"]],
    }
    return places, took


def against_nuts(
    fit: Fit,
    *,
    chains: int,
    warmup: int,
    draws: int,
    number: int,
    steps: int,
    pairs: int = 4,
    rounds: int = 2,
    tolerance: float = 1e-3,
) -> dict[str, Any]:
    """Samples of each kind beside NUTS: about the maximum, straight and curved; and centred."""
    names, values = quantities(fit)
    of_each = jax.jit(lambda places: jax.lax.map(values, places))
    started = time.perf_counter()
    walked = nuts(fit, chains=chains, warmup=warmup, draws=draws)
    nuts_seconds = time.perf_counter() - started
    by_chain = np.stack([np.asarray(of_each(chain)) for chain in walked.flat])
    truth = spread(by_chain, chains=True)
    places, took = drawn_samples(
        fit, number, steps=steps, pairs=pairs, rounds=rounds, tolerance=tolerance
    )
    found = {
        "parameters": fit.flat.size,
        "stars": len(fit.stars),
        "divergent": walked.divergent,
        "gradients": walked.gradients,
        "worst_rhat": float(np.max(np.asarray(rhat(by_chain)))),
        "nuts_seconds": nuts_seconds,
    }
    for kind in KINDS:
        seen = np.asarray(of_each(places[kind]))[None]
        found[kind] = comparison(names, truth, spread(seen, chains=False))
    return found | took


def show(found: dict[str, Any]) -> None:
    """The table for people."""
    print(
        f"{found['parameters']} parameters, {found['stars']} stars; NUTS "
        f"{found['nuts_seconds']:.0f} s, {found['gradients']} gradients, "
        f"{100 * found['divergent']:.2g} % divergent, R-hat {found['worst_rhat']:.3f}; samples "
        f"{found['samples_seconds']:.0f} s, "
        f"{np.mean(np.asarray(found['missed']) > 1e-3):.3f} of them above 1e-3"
    )
    print(f"{'':22}{'NUTS: mean, std':>20}   std / NUTS, shift [std]: {', '.join(KINDS)}")
    for rows in zip(*(found[kind] for kind in KINDS), strict=True):
        each = "   ".join(f"{row['std_ratio']:.3f} {row['shift']:+.3f}" for row in rows)
        last = rows[-1]
        print(
            f"{last['name']:22}{last['nuts_mean']:11.4f}{last['nuts_std']:9.4f}   {each}  "
            f"+- {last['std_ratio_error']:.3f} {last['shift_error']:.3f}"
        )
    for kind in KINDS:
        ratio, shift = (np.array([row[k] for row in found[kind]]) for k in ("std_ratio", "shift"))
        print(
            f"{kind:8} std / NUTS {ratio.mean():.3f} on average, {ratio.min():.3f} to "
            f"{ratio.max():.3f}; shift {np.sqrt(np.mean(shift**2)):.3f} rms, {shift.min():+.3f} to "
            f"{shift.max():+.3f} std"
        )


def main() -> None:
    """Compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--order", type=int, nargs=3, default=[6, 6, 2])
    parser.add_argument("--stars", type=int, default=1500)
    parser.add_argument("--nodes", type=int, default=24)
    parser.add_argument("--likelihood", default="full", choices=sorted(LIKELIHOODS))
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--warmup", type=int, default=500)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=4, help="posterior.curvature_steps")
    parser.add_argument("--pairs", type=int, default=4, help="posterior.centre_pairs")
    parser.add_argument("--rounds", type=int, default=2, help="posterior.centre_rounds")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--output", type=Path, default=ROOT / "results/bench/nuts.json")
    options = parser.parse_args()
    runtime.configure(cache=ROOT / ".jax_cache")
    fit = small_fit(
        tuple(options.order),
        options.stars,
        likelihood=LIKELIHOODS[options.likelihood],
        nodes=options.nodes,
        seed=options.seed,
    )
    found = against_nuts(
        fit,
        chains=options.chains,
        warmup=options.warmup,
        draws=options.draws,
        number=options.samples,
        steps=options.steps,
        pairs=options.pairs,
        rounds=options.rounds,
    )
    show(found)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
