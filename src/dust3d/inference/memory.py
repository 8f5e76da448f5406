"""How much memory a fit will take, before it takes it.

The peak is what the process holds already, plus the compiler, the stars, R, and what
one step needs on the grid: measured sizes per star and per voxel times their numbers.
A fit that would not fit streams, or is refused with what to do.
"""

from dataclasses import dataclass, replace
from typing import Literal

from dust3d import processes
from dust3d.determinism import is_deterministic
from dust3d.errors import FitError
from dust3d.inference.streams import KEPT
from dust3d.progress import logger
from dust3d.runtime import cores, memory_limit_bytes, resident_bytes

GB = 1e9
# programs and workspace of XLA, whatever the size of the fit
_COMPILER = 0.35 * GB
# float64 positions, extinction, sigma and class of a star in memory, and its place in the order
_STAR_NUMBERS = 3
# and of each cell of an uncertain distance, its distance and spread
_CELL_NUMBERS = 2
_ORDER_BYTES = 4
# arrays of the grid's size in a gradient: spectrum, ln rho, rho, cotangents and FFT workspace
_GRID_ARRAYS = 10
# arrays of the parameters' size: xi, gradient, moments, updates, and a checkpoint's copy
_PARAMETER_ARRAYS = 12
# numbers that a gradient of exact rays holds for each node: place, ln rho, rho, cotangents
_NODE_NUMBERS = 14
# matrices of the size of the dense block of Newton's preconditioner, and programs of Newton steps
_BLOCKS = 4
_NEWTON = 0.2 * GB
# numbers that products with the metric keep of each star, and of each ray to it
_ANCHORS = 2
_RAY_ANCHORS = 2
_CELL_ANCHORS = 1
# matrices of the size of a dense metric in float64, and derivatives of some stars beside them
_METRICS = 3
_DERIVATIVES = 0.6 * GB
_NUMBERS_PER_DERIVATIVE = 100
# memory that making a part of R takes beside it, per core
_MAKING = 0.1 * GB


@dataclass(frozen=True)
class Load:
    """What decides the memory of a fit, or of one of its processes.

    Parameters
    ----------
    stars, heldout
        Stars in training and held out.
    batch, heldout_batch
        Stars of one step, and of one held-out batch.
    parameters
        Numbers that are fitted.
    ray_bytes
        R of one star, all rays to it, forward and where it is kept also transposed [bytes];
        0 without R.
    voxels
        Voxels of all grids; 0 without a grid.
    columns
        Densities that R multiplies at once: 2 with a second moment, else 1.
    nodes
        Nodes per ray; 0 without nodes.
    itemsize
        Bytes of a number in the optimiser's precision.
    ndim
        Dimensions of the box.
    at_once
        Most stars whose R is made in one piece: it is put together from parts.
    block
        Parameters of the dense block of Newton's preconditioner; 0 without Newton steps.
    dense
        Parameters of Newton's dense metric, where stars are in memory; 0 without it.
    rays
        Rays to each star: one to each cell of its distance posterior, or 1.
    """

    stars: int
    heldout: int
    batch: int
    heldout_batch: int
    parameters: int
    ray_bytes: float
    voxels: int
    columns: int
    nodes: int
    itemsize: int
    ndim: int
    at_once: int
    block: int
    dense: int = 0
    rays: int = 1

    def scaled(self, *, stars: float = 1, order: float = 1) -> "Load":
        """With so many times the stars, and so many times the order along each axis."""
        cells = order**self.ndim
        return replace(
            self,
            stars=round(self.stars * stars),
            heldout=round(self.heldout * stars),
            heldout_batch=min(self.heldout_batch, round(self.heldout * stars)),
            parameters=round(self.parameters * cells),
            ray_bytes=self.ray_bytes * order,
            voxels=round(self.voxels * cells),
            nodes=round(self.nodes * order),
        )


def peak_bytes(load: Load, *, streamed: bool, held: float) -> dict[str, float]:
    """Predicted parts of the peak [bytes].

    Parameters
    ----------
    load
        The fit.
    streamed
        Whether stars and R come batch by batch.
    held
        What the process holds before [bytes].
    """
    cells = _CELL_NUMBERS * load.rays if load.rays > 1 else 0
    star = 8 * (load.ndim + _STAR_NUMBERS + cells) + _ORDER_BYTES
    star += (4 + cells) * load.itemsize
    if streamed:
        kept = KEPT * (load.batch + load.heldout_batch)
        parts = {"stars": kept * star, "rays": kept * load.ray_bytes}
    else:
        everyone = load.stars + load.heldout
        parts = {"stars": everyone * star, "rays": everyone * load.ray_bytes}
    pieces = (load.batch if streamed else load.at_once) * load.ray_bytes
    making = _MAKING * cores() + pieces if load.ray_bytes else 0.0
    grid = load.voxels * load.itemsize * load.columns * (_GRID_ARRAYS + cores())
    nodes = max(load.batch, load.heldout_batch) * load.rays * load.nodes
    nodes *= load.itemsize * _NODE_NUMBERS
    parameters = load.parameters * load.itemsize * _PARAMETER_ARRAYS
    return {
        "process": held + _COMPILER,
        **parts,
        "making": making,
        "step": grid + nodes + parameters,
        "newton": _newton_bytes(load, streamed),
    }


def _newton_bytes(load: Load, streamed: bool) -> float:
    """What Newton steps hold beside the stars and their rays [bytes]."""
    # streamed stars have no dense metric
    if load.dense and not streamed:
        derivatives = 8 * _NUMBERS_PER_DERIVATIVE * load.dense * load.stars * load.rays
        return _METRICS * 8 * load.dense**2 + min(_DERIVATIVES, derivatives) + _NEWTON
    if load.block:
        kept = (_ANCHORS + _RAY_ANCHORS * load.rays) * load.stars
        kept += _CELL_ANCHORS * load.rays * load.stars if load.rays > 1 else 0
        return (_BLOCKS * load.block**2 + kept) * load.itemsize + _NEWTON
    return 0.0


@dataclass
class Budget:
    """The memory a fit may take, and what it was predicted to take.

    Parameters
    ----------
    stream
        `auto`: stream if the fit would not fit otherwise; or whether to.
    limit_gb
        Most memory of a process [GB]; none: what the machine and the job's limits allow, shared
        with the other processes of the fit that are there.
    held
        What the process held before the first phase [bytes].
    load, streamed, predicted
        Of the last phase, and the largest predicted peak [bytes].
    """

    stream: Literal["auto", True, False]
    limit_gb: float | None
    held: float | None = None
    load: Load | None = None
    streamed: bool = False
    predicted: float = 0.0

    @property
    def limit(self) -> float:
        """Most memory [bytes]."""
        if self.limit_gb is not None:
            return self.limit_gb * GB
        # whether a fit streams must not hang on what else the machine does
        return memory_limit_bytes(steady=is_deterministic()) / processes.neighbours()

    def plan(self, title: str, load: Load) -> bool:
        """Whether a phase of the fit streams; its predicted peak is noted.

        Raises
        ------
        FitError
            If it would take more than the limit.
        """
        self.load, streamed = load, self.stream is True
        # what a phase held is not there on top of what the next one needs
        self.held = self.held or resident_bytes()
        parts = peak_bytes(load, streamed=streamed, held=self.held)
        if self.stream == "auto" and processes.any_of(sum(parts.values()) > self.limit):
            streamed = True
            parts = peak_bytes(load, streamed=streamed, held=self.held)
        peak = sum(parts.values())
        if peak > self.limit:
            raise FitError(self._refusal(title, peak, parts, streamed))
        self.streamed = streamed
        self.predicted = max(self.predicted, peak)
        listing = ", ".join(f"{name} {size / GB:.2g}" for name, size in parts.items())
        logger.info(
            "%s: predicted peak memory %.2f GB (%s) of %.3g GB%s",
            title,
            peak / GB,
            listing,
            self.limit / GB,
            ", streaming" if streamed else "",
        )
        return streamed

    def _refusal(self, title: str, peak: float, parts: dict[str, float], streamed: bool) -> str:
        largest = max(parts, key=lambda name: parts[name])
        advice = {
            "stars": "set optimiser.stream: auto",
            "rays": "lower optimiser.method.batch" if streamed else "set optimiser.stream: auto",
            "newton": "lower optimiser.newton.block_parameters or set its method: iterative",
            "step": "lower the order or raise rays.production.max_error_sigma",
        }.get(largest, "lower optimiser.method.batch")
        return (
            f"{title}: needs about {peak / GB:.3g} GB of memory, more than the "
            f"{self.limit / GB:.3g} GB that it may take (most of it: {largest}); {advice}, or "
            "raise optimiser.memory_gb if there is more"
        )

    def at_size(self, **scale: float) -> float:
        """Predicted peak [bytes] of the same fit with more stars or a higher order."""
        assert self.load is not None
        assert self.held is not None
        parts = peak_bytes(self.load.scaled(**scale), streamed=self.streamed, held=self.held)
        return sum(parts.values())
