"""The stars of a fit in batches with their sightlines, resident or streamed as memory allows."""

import shutil
import time
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from dust3d import processes
from dust3d.fields.base import Field
from dust3d.fields.modes import fourier_modes
from dust3d.inference.batches import (
    Batches,
    GridSightlines,
    StarBatches,
    batch_shape,
    rows_in_order,
)
from dust3d.inference.build import batches_for, sightlines_for
from dust3d.inference.choice import choose_rays
from dust3d.inference.dense import is_dense
from dust3d.inference.devices import on_host, own_rows, shares, star_mesh
from dust3d.inference.memory import GB, Budget, Load
from dust3d.inference.settings import Choice, FitSettings
from dust3d.inference.sources import StarSource
from dust3d.inference.streams import (
    BatchLines,
    MatrixLines,
    StreamedBatches,
    StreamedRays,
    StreamedStars,
)
from dust3d.io.ray_store import RayStore
from dust3d.observations import Observations
from dust3d.progress import logger
from dust3d.provenance import digest_of
from dust3d.rays.product import RayMatrix
from dust3d.rays.scheme import Scheme
from dust3d.rays.weights import ray_blocks
from dust3d.runtime import give_back_memory

_MOST_HELDOUT = 1 << 16
_MOST_AT_ONCE = 1 << 18
_PROBED = 512
_DISK_SHARE = 0.8


@dataclass(frozen=True)
class Scratch:
    """A folder that lives as long as the fit, and a digest of what the fit is made of."""

    folder: Path
    digest: str


def _release(batches: tuple[StarBatches, ...]) -> None:
    """Let go of batches, and of their memory."""
    for some in batches:
        some.release()
    if batches:
        give_back_memory()


def _share(number: int) -> int:
    """Of so many stars those of one process."""
    return -(-number // processes.number())


class Feed:
    """Batches for a fit; of several processes each has its share of the stars of every batch.

    Parameters
    ----------
    settings
        The fit.
    train, heldout
        Its stars.
    seed
        The run's seed.
    budget
        The memory that the fit may take.
    parameters
        How many numbers are fitted, at the fit's own order.
    scratch
        Where rays are kept on disk, if they are streamed.

    Attributes
    ----------
    seconds
        Spent on making batches and sightlines [s].
    """

    def __init__(
        self,
        settings: FitSettings,
        train: StarSource,
        heldout: StarSource,
        seed: int,
        budget: Budget,
        parameters: int,
        scratch: Scratch | None = None,
    ):
        self.settings, self.train, self.heldout, self.seed = settings, train, heldout, seed
        self.budget, self._parameters, self._scratch = budget, parameters, scratch
        self.seconds = 0.0
        self._choices: dict[tuple[int, ...], Choice] = {}
        self._out: tuple[StarBatches, ...] = ()
        method = settings.optimiser.method
        batch = method.batch if settings.fourier is not None else settings.adam.batch
        self.count, self.size = batch_shape(len(train), batch)
        self._passes = self.count

    def both(self, **options: Any) -> tuple[StarBatches, StarBatches]:
        """Training and held-out stars; `options` as for `sightlines_for`.

        Held-out stars are one batch, unless there are very many. Batches that were handed out
        before are released: memory holds the rays of one phase.

        Raises
        ------
        FitError
            If they would take more memory than there is.
        """
        started = time.monotonic()
        _release(self._out)
        options = self._chosen(options)
        streamed = self.budget.plan(self.settings.name, self.load(**options))
        make = self._streamed if streamed else self._resident
        batches = (
            make("train", self.train, self.size, options),
            make("heldout", self.heldout, _MOST_HELDOUT, options),
        )
        self._out = batches
        self.seconds += time.monotonic() - started
        return batches

    def whole(self, **options: Any) -> StarBatches:
        """Training stars in as few batches as memory allows, for products over all of them.

        Each batch pays the transforms of the grid; R of all stars is the same in one piece. The
        training batches that were handed out before are released.
        """
        started = time.monotonic()
        _release(self._out[:1])
        options = self._chosen(options)
        if self.budget.streamed:
            batches = self._streamed("train", self.train, self.size, options)
        else:
            size = self._most_at_once()
            batches = self._resident("train", self.train, size, options)
        self._out = (batches, *self._out[1:])
        self.seconds += time.monotonic() - started
        return batches

    def _most_at_once(self) -> int:
        """Stars of a batch: without a grid to transform, those of a step."""
        if self.settings.ray_method != "production":
            return self.size
        return min(max(1, _MOST_AT_ONCE // self._rays), len(self.train))

    @property
    def _rays(self) -> int:
        """Rays to each star."""
        return self.train.sample.rays

    @cached_property
    def _last_rays(self) -> "Feed":
        """The same stars by production rays as exact as the last steps of Newton ask for."""
        limit = self.settings.optimiser.newton.max_error_sigma
        update = {"kernel": "auto", "oversampling": None, "max_error_sigma": limit}
        production = self.settings.rays.production.model_copy(update=update)
        feed = self._with_rays({"production": production})
        feed._passes = 1
        return feed

    def last_choice(self, field: Field) -> Choice | None:
        """Production rays for products around a field, on which their error is measured."""
        if self.settings.ray_method != "production":
            return None
        return self._last_rays.choose(field)

    def choose(self, field: Field | None = None, order: tuple[int, ...] | None = None) -> Choice:
        """The cheapest production rays that are exact enough, the same in all processes."""
        sample = self.train.sample
        batches = self._passes * len(sample) / len(self.train)
        some = {"batches": batches, "order": order, "seed": self.seed, "field": field}
        return Choice(*processes.agreed(list(choose_rays(self.settings, sample, **some))))

    def finest(self, choice: Choice | None = None) -> StarBatches:
        """Training stars as `whole` hands them out, for the last steps of Newton.

        Parameters
        ----------
        choice
            From `last_choice`; none: by draws of the prior.
        """
        if choice is not None:
            self._last_rays._choices[self.settings.order] = choice
        _release(self._out[:1])
        batches = self._last_rays.whole()
        self._out = (batches, *self._out[1:])
        self.seconds += self._last_rays.seconds
        return batches

    def exact(self, nodes: int, batch: int) -> StarBatches:
        """Training stars with exact rays, so many nodes on each, about so many in a batch."""
        exact = self.settings.rays.exact.model_copy(update={"nodes": nodes})
        feed = self._with_rays({"method": "exact", "exact": exact})
        make = feed._streamed if self.budget.streamed else feed._resident
        return make("train", self.train, max(1, batch // self._rays), {})

    def _with_rays(self, update: dict[str, Any]) -> "Feed":
        """The same stars, seen by other rays."""
        rays = self.settings.rays.model_copy(update=update)
        settings = replace(self.settings, rays=rays)
        stars = (self.train, self.heldout)
        return Feed(settings, *stars, self.seed, self.budget, self._parameters, self._scratch)

    def own(self) -> Observations:
        """The training stars that this process works on, in memory."""
        if processes.number() == 1:
            return self.train.resident()
        rows = own_rows(np.arange(len(self.train))[None])[0]
        return self.train.some(rows[rows >= 0])

    def sample(self, **options: Any) -> tuple[Batches, Observations]:
        """A sample of the training stars, with sightlines made as for all of them."""
        sample = self.train.sample
        rows = np.arange(len(sample))[None]
        return batches_for(self.settings, sample, rows, **self._chosen(options)), sample

    def _chosen(self, options: dict[str, Any]) -> dict[str, Any]:
        """All sightlines of one order by one choice of production rays."""
        if self.settings.ray_method != "production":
            return options
        order = options.get("order") or self.settings.order
        if order not in self._choices:
            self._choices[order] = self.choose(order=order)
        return options | {"choice": self._choices[order]}

    def _resident(
        self, name: str, source: StarSource, batch: int, options: dict[str, Any]
    ) -> Batches:
        rows = rows_in_order(len(source), batch)
        rows.reshape(-1)[: len(source)] = source.order()
        if processes.number() == 1:
            return batches_for(self.settings, source.resident(), rows, **options)
        rows = own_rows(rows)
        own = np.unique(rows[rows >= 0])
        places = np.where(rows >= 0, np.searchsorted(own, rows), -1)
        reach = {"reach_kpc": source.reach_kpc}
        stars = source.some(own)
        return batches_for(self.settings, stars, places, number=len(source), **(options | reach))

    def _streamed(
        self, name: str, source: StarSource, batch: int, options: dict[str, Any]
    ) -> StreamedBatches:
        settings, mesh = self.settings, star_mesh()
        stars = StreamedStars(source, batch_shape(len(source), batch), mesh)
        if settings.ray_method == "production" and on_host():
            scheme = settings.scheme(**options)
            make_rows, store = partial(ray_blocks, scheme=scheme), self._store(name, stars, scheme)
            rows = StreamedRays(stars, make_rows, scheme.size, store)
            matrix = RayMatrix(rows)
            lines = GridSightlines(matrix, stars.count, scheme, settings.dtype, mesh)
            return StreamedBatches(stars, MatrixLines(lines, rows, self._rays), settings.dtype)

        def make(ends: np.ndarray, rows: np.ndarray):
            reach = source.reach_kpc
            return sightlines_for(settings, ends, rows, reach_kpc=reach, **options)

        return StreamedBatches(stars, BatchLines(stars, make), settings.dtype)

    def _store(self, name: str, stars: StreamedStars, scheme: Scheme) -> RayStore | None:
        """Where rows of R are kept, if they are needed again and there is room."""
        again = self.settings.passes > 1 or self.settings.climbs
        if self._scratch is None or not self.settings.rays.production.on_disk or not again:
            return None
        needed = stars.number * self._ray_bytes(scheme) / processes.number()
        folder = self._scratch.folder
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if needed > _DISK_SHARE * free:
            logger.warning(
                "%s: rays of %.3g GB would not fit on the disk of %s (%.3g GB free): they are made "
                "anew in each pass",
                self.settings.name,
                needed / GB,
                folder,
                free / GB,
            )
            return None
        layout = [name, stars.count, stars.size, shares(stars.mesh)]
        layout += [processes.number(), processes.index()]
        return RayStore(folder, digest_of([self._scratch.digest, *layout, asdict(scheme)]))

    def _ray_bytes(self, scheme: Scheme) -> float:
        """R of one star [bytes], from the sample."""
        some = self.train.sample.ends[:_PROBED]
        blocks = ray_blocks(some.reshape(-1, some.shape[-1]), scheme)
        return sum(b.data.nbytes + b.indices.nbytes + b.indptr.nbytes for b in blocks) / len(some)

    def load(self, **options: Any) -> Load:
        """What the memory of a phase of the fit follows from."""
        settings = self.settings
        ray_bytes, voxels, nodes = 0.0, 0, 0
        if settings.ray_method == "production":
            scheme = settings.scheme(**options)
            # on a device the transpose is kept beside R
            ray_bytes, voxels = self._ray_bytes(scheme) * (1 if on_host() else 2), scheme.size
            if self._ends_exactly:
                last = settings.scheme(**self._last_rays._chosen({}))
                ray_bytes = max(ray_bytes, self._ray_bytes(last) * (1 if on_host() else 2))
                voxels = max(voxels, last.size)
        else:
            nodes = settings.first_nodes(self.train.reach_kpc, options.get("order"))
            nodes *= 2 ** options.get("refinements", 0)
        parameters = self._size_of(options.get("order"))
        climbs, newton = settings.climbs, settings.optimiser.newton
        dense = climbs and is_dense(newton, parameters, len(self.train))
        return Load(
            stars=_share(len(self.train)),
            heldout=_share(len(self.heldout)),
            batch=_share(self.size),
            heldout_batch=_share(batch_shape(len(self.heldout), _MOST_HELDOUT)[1]),
            parameters=parameters,
            ray_bytes=ray_bytes,
            voxels=voxels,
            columns=2 if settings.likelihood.substructure_kpc is not None else 1,
            nodes=nodes,
            itemsize=settings.dtype.itemsize,
            ndim=settings.box.ndim,
            at_once=_share(self._most_at_once() if climbs else self.size),
            block=min(newton.block_parameters, parameters) if climbs else 0,
            dense=parameters if dense else 0,
            rays=self._rays,
        )

    @property
    def _ends_exactly(self) -> bool:
        """Whether the last steps are by products, towards the maximum of exact rays."""
        newton, stars = self.settings.optimiser.newton, len(self.train)
        # streamed stars have no dense metric
        dense = is_dense(newton, self._parameters, stars) and self.budget.stream is not True
        return self.settings.climbs and not dense and self.settings.ends_exactly

    def _size_of(self, order: tuple[int, ...] | None) -> int:
        """Numbers that are fitted at an order."""
        if order is None or self.settings.fourier is None:
            return self._parameters
        return 2 * len(fourier_modes(order, self.settings.fourier.ball)) + 1
