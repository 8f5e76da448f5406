"""One mock after the other: drawn, fitted, sampled, and the truth ranked among the samples.

What is compiled is compiled once: the stars of all mocks are at the same places, and their
extinctions are arguments.
"""

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from dust3d.calibration.mocks import draw_truth, observe
from dust3d.calibration.ranks import distance_rank
from dust3d.calibration.scalars import Found, Scalars
from dust3d.calibration.tabulated import MOST_BYTES, TabulatedSightlines, table_bytes
from dust3d.config.calibration import Calibration
from dust3d.config.mock import UniformStars
from dust3d.config.posterior import Posterior
from dust3d.errors import FitError
from dust3d.inference.accuracy import settle_nodes
from dust3d.inference.batches import Batches, NodeSightlines, rows_in_order
from dust3d.inference.build import target_for
from dust3d.inference.iterative import IterativeProblem, sampled_preconditioner
from dust3d.inference.newton import NewtonStep, polish
from dust3d.inference.posterior import PosteriorSampler
from dust3d.inference.prior import SumPrior
from dust3d.inference.products import Products
from dust3d.inference.settings import FitSettings
from dust3d.inference.spread import resolved_variance
from dust3d.inference.target import Sightlines
from dust3d.keys import generator_for, key_for
from dust3d.mock.placement import draw_positions
from dust3d.observations import Observations

_FLOAT = jnp.dtype("float64")
_NODES_OF_SAMPLE = 0.7
_FEWEST_NODES = 8
_MOST_DOUBLINGS = 4
_PRIOR_DRAWS = 256
# the data know a place if they shrink its prior variance to less than this part
_KNOWN = 0.5

Vector = Float[Array, " p"]


@dataclass(frozen=True)
class Outcome:
    """What one mock has shown.

    Parameters
    ----------
    number
        Of the mock.
    ranks
        Samples below the truth, for each scalar.
    z
        Truth less the samples' mean, over their standard deviation, for each scalar.
    distance_rank
        Samples nearer to a random draw of the prior than the truth, in all scalars together.
    ln_density_ranks, extinction_ranks
        At each place.
    known
        Whether the data shrink the prior variance of ln rho there by half.
    newton_steps, gain_left
        Of the fit; what another step would gain in ln p.
    missed
        The largest relative residual of a sample.
    nodes
        On the rays.
    seconds
        Wall-clock time.
    """

    number: int
    ranks: dict[str, int]
    z: dict[str, float]
    distance_rank: int
    ln_density_ranks: list[int]
    extinction_ranks: list[int]
    known: list[bool]
    newton_steps: int
    gain_left: float
    missed: float
    nodes: int
    seconds: float

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def _ranks(found: np.ndarray) -> np.ndarray:
    """How many of the others are below the first, for each column."""
    return np.sum(found[1:] < found[0], axis=0)


def _z(found: np.ndarray) -> float:
    """The first less the mean of the others, over their standard deviation."""
    return float((found[0] - found[1:].mean()) / found[1:].std(ddof=1))


class _Fits:
    """Fits of the stars of one sky, with so many nodes on each ray."""

    def __init__(self, settings: FitSettings, sky: Observations, nodes: int, seed: int):
        self.target = target_for(settings, len(sky.class_names), seed, _FLOAT)
        self.nodes, self._settings, self._seed = nodes, settings, seed
        self._start = self.target.start(jax.random.key(0))
        self._rows = rows_in_order(len(sky), len(sky))
        self._rays = self._sightlines(sky.positions)
        self.products = Products(self.target, self._batches(sky), self._start)
        self._sampled: dict[str, Any] = {
            "nodes": max(_FEWEST_NODES, int(_NODES_OF_SAMPLE * nodes)),
            "block": settings.optimiser.newton.block_parameters,
            "seed": seed,
        }

    def _sightlines(self, positions: np.ndarray) -> Sightlines:
        """Exact rays, tabulated where that is little."""
        prior = self.target.prior.parts["varying"]
        if table_bytes(len(positions), self.nodes, len(prior.modes)) <= MOST_BYTES:
            return TabulatedSightlines(positions, self.nodes, prior)
        evaluator = self._settings.evaluator
        return NodeSightlines(positions, self._rows, self.nodes, _FLOAT, None, evaluator)

    def _batches(self, stars: Observations) -> Batches:
        return Batches(self._rays, stars, self._rows, _FLOAT)

    def maximum(self, stars: Observations) -> tuple[Vector, list[NewtonStep]]:
        """Whitened parameters at the maximum of the posterior of these stars."""
        newton = self._settings.optimiser.newton
        tolerance = newton.tolerance * len(stars)
        self.products.batches = self._batches(stars)
        problem = IterativeProblem(
            self.products,
            stars,
            tolerance=tolerance,
            share=newton.share,
            most=newton.max_products,
            **self._sampled,
        )
        xi, steps = polish(
            problem,
            self._start,
            max_steps=newton.max_steps,
            tolerance=tolerance,
            title=self._settings.name,
        )
        if not steps[-1].shows_maximum(tolerance):
            raise FitError(
                f"{self._settings.name}: after {len(steps) - 1} Newton steps another would still "
                f"raise ln posterior by {steps[-1].predicted_gain:.3g} (limit {tolerance:.3g}); "
                "raise optimiser.newton.max_steps or max_products"
            )
        return ravel_pytree(xi)[0], steps

    def sampler(
        self, flat: Vector, stars: Observations, posterior: Posterior, purpose: str
    ) -> PosteriorSampler:
        """What draws from the posterior of the stars whose maximum this is."""
        sampler = PosteriorSampler(
            self.products,
            flat,
            sampled_preconditioner(self.products, flat, stars, **self._sampled),
            tolerance=posterior.tolerance,
            most=posterior.max_products,
            steps=posterior.curvature_steps,
        )
        key = key_for(self._seed, f"centre of {purpose}")
        rounds = posterior.centre_rounds
        return sampler.centred(key, pairs=posterior.centre_pairs, rounds=rounds)

    def log_likelihood(self, flats: Float[Array, "s p"]) -> Float[np.ndarray, " s"]:
        """ln L of the stars of the last fit."""
        # ln p is ln L - |xi|^2 / 2
        whole = [self.products.log_posterior(flat) for flat in flats]
        return np.array(whole) + 0.5 * np.sum(np.square(np.asarray(flats)), axis=1)


class Trials:
    """Mocks whose stars are at the places of one sky.

    Parameters
    ----------
    settings
        Of the fit; its series in cosines and sines.
    posterior, calibration
        Sections of the configuration.
    sky
        Stars without extinctions.
    seed
        The run's seed.
    """

    def __init__(
        self,
        settings: FitSettings,
        posterior: Posterior,
        calibration: Calibration,
        sky: Observations,
        seed: int,
    ):
        self._settings, self._posterior, self._sky, self._seed = settings, posterior, sky, seed
        self._first = settings.first_nodes(float(sky.distances.max()))
        self._fits: dict[int, _Fits] = {}
        fits = self._with_nodes(self._first)
        self._target = fits.target
        placement = UniformStars(kind="uniform", extent=calibration.extent)
        name = f"calibration: places of {settings.name}"
        places_seed = int(generator_for(seed, name).integers(2**31))
        places = draw_positions(placement, settings.box, calibration.places, places_seed)
        like = self._target.start(jax.random.key(0))
        self._scalars = Scalars(self._target, like, settings.box, places, 2 * self._first)
        heights = places[:, 2] if settings.box.ndim == 3 else np.zeros(len(places))
        assert isinstance(self._target.prior, SumPrior)
        self._prior_variance = resolved_variance(self._target.prior, heights)
        self._names, self._scale = self._prior_spread()

    def _with_nodes(self, nodes: int) -> _Fits:
        if nodes not in self._fits:
            self._fits[nodes] = _Fits(self._settings, self._sky, nodes, self._seed)
        return self._fits[nodes]

    def _drawn(self, purpose: str) -> Vector:
        return ravel_pytree(draw_truth(self._target, key_for(self._seed, purpose)))[0]

    def _prior_spread(self) -> tuple[list[str], np.ndarray]:
        """Names of the scalars that the prior has, and half of its central 68 % of each."""
        keys = jax.random.split(key_for(self._seed, "calibration: spread"), _PRIOR_DRAWS)
        flats = jnp.stack([ravel_pytree(draw_truth(self._target, key))[0] for key in keys])
        scalars = self._scalars.of(flats).scalars
        low, high = (np.array([np.quantile(v, q) for v in scalars.values()]) for q in (0.16, 0.84))
        return list(scalars), (high - low) / 2

    def _fitted(self, stars: Observations) -> tuple[_Fits, Vector, list[NewtonStep]]:
        """The fit, its rays exact enough at the maximum."""
        limit, nodes = self._settings.rays.exact.max_error_sigma, self._first
        for _ in range(_MOST_DOUBLINGS):
            fits = self._with_nodes(nodes)
            flat, steps = fits.maximum(stars)
            field = self._target.prior.field(fits.products.unravel(flat)["field"])
            needed, _, _ = settle_nodes(field, stars, nodes, limit)
            if needed <= nodes:
                return fits, flat, steps
            nodes = needed
        raise FitError(f"{self._settings.name}: rays are not exact with {nodes} nodes; give more")

    def outcome(self, number: int) -> Outcome:
        """One mock, its number naming its random numbers.

        Raises
        ------
        FitError
            If the fit does not reach a maximum, or a sample misses its tolerance.
        """
        started, name = time.monotonic(), f"{self._settings.name}, mock {number}"
        truth = self._drawn(f"truth of {name}")
        generator = generator_for(self._seed, f"noise of {name}")
        xi = self._with_nodes(self._first).products.unravel(truth)
        measured = observe(self._target, xi, self._sky, generator)
        stars = replace(self._sky, extinction=measured)
        fits, flat, steps = self._fitted(stars)
        sampler = fits.sampler(flat, stars, self._posterior, name)
        keys = [
            key_for(self._seed, f"sample {i} of {name}") for i in range(self._posterior.samples)
        ]
        drawn = [sampler.draw(key) for key in keys]
        flats = jnp.stack([truth, *(one.flat for one in drawn)])
        found = self._scalars.of(flats)
        reference = self._scalars.of(self._drawn(f"reference of {name}")[None])
        scalars = found.scalars | {"log_likelihood": fits.log_likelihood(flats)}
        variance = found.ln_density[1:].var(axis=0, ddof=1)
        return Outcome(
            number,
            {key: int(_ranks(values[:, None])[0]) for key, values in scalars.items()},
            {key: _z(values) for key, values in scalars.items()},
            self._distance_rank(found, reference),
            _ranks(found.ln_density).tolist(),
            _ranks(found.extinction).tolist(),
            (variance < _KNOWN * self._prior_variance).tolist(),
            len(steps) - 1,
            steps[-1].predicted_gain,
            max(one.missed for one in drawn),
            fits.nodes,
            time.monotonic() - started,
        )

    def _distance_rank(self, found: Found, reference: Found) -> int:
        all_of = np.stack([found.scalars[key] for key in self._names], axis=1)
        point = np.array([reference.scalars[key][0] for key in self._names])
        return distance_rank(all_of[0], all_of[1:], point, self._scale)
