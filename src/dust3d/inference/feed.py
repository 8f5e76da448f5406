"""The stars of a fit in batches with their sightlines, resident or streamed as memory allows."""

import time
from typing import Any

import numpy as np

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
from dust3d.inference.devices import on_host, star_mesh
from dust3d.inference.memory import Budget, Load
from dust3d.inference.settings import Choice, FitSettings
from dust3d.inference.sources import StarSource
from dust3d.inference.streams import (
    BatchLines,
    MatrixLines,
    StreamedBatches,
    StreamedRays,
    StreamedStars,
)
from dust3d.observations import Observations
from dust3d.rays.product import RayMatrix
from dust3d.rays.weights import ray_blocks

_MOST_HELDOUT = 1 << 16
_PROBED = 512


class Feed:
    """Batches for a fit.

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
    ):
        self.settings, self.train, self.heldout, self.seed = settings, train, heldout, seed
        self.budget, self._parameters = budget, parameters
        self.seconds = 0.0
        self._choices: dict[tuple[int, ...], Choice] = {}
        method = settings.optimiser.method
        batch = method.batch if settings.fourier is not None else settings.adam.batch
        self.count, self.size = batch_shape(len(train), batch)

    def both(self, **options: Any) -> tuple[StarBatches, StarBatches]:
        """Training and held-out stars; `options` as for `sightlines_for`.

        Held-out stars are one batch, unless there are very many.

        Raises
        ------
        FitError
            If they would take more memory than there is.
        """
        started = time.monotonic()
        options = self._chosen(options)
        streamed = self.budget.plan(self.settings.name, self.load(**options))
        make = self._streamed if streamed else self._resident
        batches = make(self.train, self.size, options), make(self.heldout, _MOST_HELDOUT, options)
        self.seconds += time.monotonic() - started
        return batches

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
            self._choices[order] = choose_rays(
                self.settings,
                self.train.sample,
                batches=self.count * len(self.train.sample) / len(self.train),
                order=order,
                seed=self.seed,
            )
        return options | {"choice": self._choices[order]}

    def _resident(self, source: StarSource, batch: int, options: dict[str, Any]) -> Batches:
        rows = rows_in_order(len(source), batch)
        rows.reshape(-1)[: len(source)] = source.order()
        return batches_for(self.settings, source.resident(), rows, **options)

    def _streamed(self, source: StarSource, batch: int, options: dict[str, Any]) -> StreamedBatches:
        settings, mesh = self.settings, star_mesh()
        stars = StreamedStars(source, batch_shape(len(source), batch), mesh)
        if settings.ray_method == "production" and on_host():
            scheme = settings.scheme(**options)
            rows = StreamedRays(stars, lambda some: ray_blocks(some, scheme), scheme.size)
            matrix = RayMatrix(rows)
            lines = GridSightlines(matrix, stars.count, scheme, settings.dtype, mesh)
            return StreamedBatches(stars, MatrixLines(lines, rows), settings.dtype)

        def make(positions: np.ndarray, rows: np.ndarray):
            reach = source.reach_kpc
            return sightlines_for(settings, positions, rows, reach_kpc=reach, **options)

        return StreamedBatches(stars, BatchLines(stars, make), settings.dtype)

    def load(self, **options: Any) -> Load:
        """What the memory of a phase of the fit follows from."""
        settings = self.settings
        ray_bytes, voxels, nodes = 0.0, 0, 0
        if settings.ray_method == "production":
            scheme, some = settings.scheme(**options), self.train.sample.positions[:_PROBED]
            blocks = ray_blocks(some, scheme)
            size = sum(b.data.nbytes + b.indices.nbytes + b.indptr.nbytes for b in blocks)
            # on a device the transpose is kept beside R
            ray_bytes, voxels = size / len(some) * (1 if on_host() else 2), scheme.size
        else:
            nodes = settings.first_nodes(self.train.reach_kpc, options.get("order"))
            nodes *= 2 ** options.get("refinements", 0)
        return Load(
            stars=len(self.train),
            heldout=len(self.heldout),
            batch=self.size,
            heldout_batch=batch_shape(len(self.heldout), _MOST_HELDOUT)[1],
            parameters=self._size_of(options.get("order")),
            ray_bytes=ray_bytes,
            voxels=voxels,
            columns=2 if settings.likelihood.substructure_kpc is not None else 1,
            nodes=nodes,
            itemsize=settings.dtype.itemsize,
            ndim=settings.box.ndim,
        )

    def _size_of(self, order: tuple[int, ...] | None) -> int:
        """Numbers that are fitted at an order."""
        if order is None or self.settings.fourier is None:
            return self._parameters
        return 2 * len(fourier_modes(order, self.settings.fourier.ball)) + 1
