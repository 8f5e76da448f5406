"""A finished fit taken up again: its posterior, its stars, and products around its maximum."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from dust3d import runtime
from dust3d.determinism import set_deterministic
from dust3d.files import scratch_folder
from dust3d.inference.batches import StarBatches
from dust3d.inference.build import target_for
from dust3d.inference.feed import Feed, Scratch
from dust3d.inference.iterative import sample_size
from dust3d.inference.memory import Budget
from dust3d.inference.prior import Xi, size_of
from dust3d.inference.products import Products
from dust3d.inference.settings import FitSettings
from dust3d.inference.target import Target
from dust3d.io.reports import read_json
from dust3d.observations import Observations
from dust3d.progress import logger
from dust3d.provenance import digest_of
from dust3d.stages.fit_start import warm_start
from dust3d.stages.fit_tables import star_tables

_EXACT_BATCH = 16_384
# of the rays of a preconditioner, of those that are enough for extinctions
_NODES_OF_SAMPLE = 0.7
_FEWEST_NODES = 8


@dataclass(frozen=True)
class Maximum:
    """The end of a fit.

    Parameters
    ----------
    settings
        Of the fit, in cosines and sines.
    target, xi
        The posterior, and the place in it.
    feed
        The stars.
    nodes
        Nodes of exact rays that are enough.
    """

    settings: FitSettings
    target: Target
    xi: Xi
    feed: Feed
    nodes: int

    @property
    def flat(self) -> Float[Array, " p"]:
        """All whitened parameters."""
        return ravel_pytree(self.xi)[0]

    def exact_batches(self) -> StarBatches:
        """Training stars with exact rays."""
        return self.feed.exact(self.nodes, _EXACT_BATCH)

    def products(self) -> Products:
        """Products with the metric, by rays whose error is known on this field."""
        # adaptive steps cannot be derived twice
        if self.settings.ray_method == "reference":
            return Products(self.target, self.exact_batches(), self.xi)
        field = self.target.prior.field(self.xi["field"])
        batches = self.feed.finest(self.feed.last_choice(field))
        return Products(self.target, batches, self.xi)

    def sample(self, block: int) -> Observations:
        """Random stars that stand for all in a preconditioner with so large a dense block."""
        number = min(len(self.feed.train), sample_size(size_of(self.xi), block))
        return self.feed.train.take(0, number)

    @property
    def sample_nodes(self) -> int:
        """Nodes on the rays of those."""
        return max(_FEWEST_NODES, int(_NODES_OF_SAMPLE * self.nodes))


def in_double_precision(settings: FitSettings) -> FitSettings:
    """The same fit in numbers of 64 bits."""
    optimiser = settings.optimiser.model_copy(update={"precision": "float64"})
    return replace(settings, optimiser=optimiser)


def summary_of(fit: Path, then: str) -> dict[str, Any]:
    """`fit.json` beside a field, and a warning where the fit is at no maximum.

    Parameters
    ----------
    fit
        `field.h5`.
    then
        What that means, for the warning.
    """
    summary = read_json(fit.with_name("fit.json"), ["name", "likelihood", "rays", "converged"])
    if not summary["converged"]:
        logger.warning(
            "%s: the fit is not at its maximum (converged: %s): %s; let it take more steps "
            "(optimiser.newton.max_steps)",
            summary["name"],
            summary["converged"],
            then,
        )
    return summary


@contextmanager
def at_maximum(
    settings: FitSettings,
    *,
    fit: Path,
    train: str | Path,
    heldout: str | Path,
    title: str,
    seed: int,
    made_of: Mapping[str, Any],
) -> Iterator[Maximum]:
    """The end of a fit, while its stars are open.

    Parameters
    ----------
    settings
        Of the fit.
    fit, train, heldout
        `field.h5`, with `fit.json` beside it, and the stars.
    title
        Of the folder for what is kept on disk meanwhile.
    seed
        The run's seed.
    made_of
        What the rays kept there depend on, JSON-able.
    """
    set_deterministic(settings.deterministic)
    runtime.configure()
    rays = read_json(fit.with_name("fit.json"), ["rays"])["rays"]
    with scratch_folder(fit.parent, title) as aside:
        stars, others = star_tables(settings, aside, train, heldout, seed)
        with closing(stars), closing(others):
            target = target_for(settings, len(stars.class_names), seed, settings.dtype)
            xi = warm_start(settings, stars.class_names, target, fit)
            scratch = Scratch(aside / "rays", digest_of(dict(made_of)))
            budget = Budget(settings.optimiser.stream, settings.optimiser.memory_gb)
            feed = Feed(settings, stars, others, seed, budget, size_of(xi), scratch)
            nodes = int(rays.get("nodes") or settings.first_nodes(stars.reach_kpc))
            yield Maximum(settings, target, xi, feed, nodes)
