"""What a fit took, and what the next size up would take."""

from dataclasses import dataclass

from dust3d import processes
from dust3d.inference.memory import GB, Budget, Load
from dust3d.progress import logger
from dust3d.runtime import peak_resident_bytes

# a gradient's work per voxel (transforms, exponential) and per node, in units of one weight's
_VOXEL = 16
_NODE = 60
_WEIGHT_BYTES = 8
_PRODUCTS_PER_GRADIENT = 2


@dataclass(frozen=True)
class NextSize:
    """A larger fit, predicted.

    Parameters
    ----------
    seconds
        Of the same recipe [s].
    memory_gb
        Peak memory [GB].
    """

    seconds: float
    memory_gb: float


@dataclass(frozen=True)
class Cost:
    """What a fit took.

    Parameters
    ----------
    stars_per_s
        Stars whose gradients were taken, each time counted, per second of the workhorse.
    gradients
        Gradients over all stars, those of Newton steps included.
    products
        Products of R, or of its transpose, with all stars, or as many passes of exact rays;
        products with Newton's metric count as two.
    setup_seconds
        Spent on choosing and making sightlines [s].
    processes
        How many worked on it.
    predicted_memory_gb, measured_memory_gb
        Peak of the memory that the (first) process held [GB], as predicted, and so far.
    limit_memory_gb
        What it was allowed to take [GB].
    streamed
        Whether stars and rays came batch by batch.
    twice_the_stars, twice_the_order
        The workhorse's part for twice the stars; for twice the order on each axis.
    """

    stars_per_s: float
    gradients: float
    products: float
    setup_seconds: float
    processes: int
    predicted_memory_gb: float
    measured_memory_gb: float
    limit_memory_gb: float
    streamed: bool
    twice_the_stars: NextSize
    twice_the_order: NextSize


def work(load: Load) -> float:
    """Work of one pass over the stars, in units of one weight's."""
    stars = load.stars * (load.ray_bytes / _WEIGHT_BYTES + _NODE * load.nodes * load.rays)
    return stars + load.stars / load.batch * _VOXEL * load.voxels * load.columns


def cost_of(
    budget: Budget, *, steps: int, batches: int, seconds: float, setup_seconds: float
) -> Cost:
    """What a fit took.

    Parameters
    ----------
    budget
        With the predictions of the fit.
    steps, batches
        Steps of the optimiser, and batches of one pass over the stars.
    seconds
        Spent in the optimiser [s].
    setup_seconds
        Spent on making sightlines [s].
    """
    load = budget.load
    assert load is not None
    stars = load.stars * processes.number()
    gradients, total = steps / batches, seconds + setup_seconds

    def grown(**scale: float) -> NextSize:
        factor = work(load.scaled(**scale)) / work(load)
        return NextSize(factor * total, budget.at_size(**scale) / GB)

    return Cost(
        stars_per_s=gradients * stars / seconds if seconds else 0.0,
        gradients=gradients,
        products=_PRODUCTS_PER_GRADIENT * gradients,
        setup_seconds=setup_seconds,
        processes=processes.number(),
        predicted_memory_gb=budget.predicted / GB,
        measured_memory_gb=peak_resident_bytes() / GB,
        limit_memory_gb=budget.limit / GB,
        streamed=budget.streamed,
        twice_the_stars=grown(stars=2.0),
        twice_the_order=grown(order=2.0),
    )


def log_cost(title: str, cost: Cost) -> None:
    """Say it in one line."""
    logger.info(
        "%s: %.3g stars/s, %.3g gradients, peak memory %.2f GB (predicted %.2f); twice the stars "
        "would take %.3g s and %.2g GB, twice the order %.3g s and %.2g GB",
        title,
        cost.stars_per_s,
        cost.gradients,
        cost.measured_memory_gb,
        cost.predicted_memory_gb,
        cost.twice_the_stars.seconds,
        cost.twice_the_stars.memory_gb,
        cost.twice_the_order.seconds,
        cost.twice_the_order.memory_gb,
    )
