"""An approximate inverse of the metric for short waves: diagonal in wave packets.

Through stars of density n a wave of vector k is seen by the integral of rho along
radial rays: how well depends on where the wave is, and on its slope to the ray, k_r. A
diagonal in k knows neither. Packets know both: the box is cut into overlapping
windows (their squares add to 1), and in each the metric is taken to be diagonal in
local waves, with

    h(k) = sum over rays of W |int rho w(r) exp(i k.r) dr|^2 / int w^2,

the exact value for each packet, from a sample of the rays that cross the window.
"""

from collections.abc import Sequence
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.ndimage import gaussian_filter

from dust3d.fields.modes import fourier_modes, wavenumbers
from dust3d.inference.prior import FourierPrior
from dust3d.inference.profiles import Profiles
from dust3d.rays.grid import fast_size
from dust3d.rays.product import ray_pool
from dust3d.transforms.grid import GridTransform, grid_transform

_MOST_RAYS = 64
_SLOPES = 256
# of |m / order|^2: waves of a window beyond the highest modes carry nothing
_CARRIED = 1.1
_SMOOTHING_CELLS = 0.6
# of all waves of a window, the part that are seen less than the one that stands for them
_TYPICAL = 0.95


def _windows(order: int) -> int:
    """How many windows along an axis: wide ones tell wavelengths apart, narrow ones places."""
    return 4 if order >= 16 else 2 if order >= 4 else 1


class Layout(eqx.Module):
    """Windows over the box: along each axis their number, and the cells from one to the next.

    Windows reach over two steps, sin-shaped; a single one is the whole axis, and flat.
    """

    windows: tuple[int, ...] = eqx.field(static=True)
    steps: tuple[int, ...] = eqx.field(static=True)

    @classmethod
    def for_order(cls, order: Sequence[int]) -> "Layout":
        """Windows for modes up to an order."""
        windows = tuple(_windows(m) for m in order)
        steps = tuple(
            fast_size((2 * m + 2) / count) for m, count in zip(order, windows, strict=True)
        )
        return cls(windows, steps)

    @property
    def cells(self) -> tuple[int, ...]:
        """Cells of the whole box along each axis."""
        return tuple(n * step for n, step in zip(self.windows, self.steps, strict=True))

    @property
    def reach(self) -> tuple[int, ...]:
        """Cells of one window along each axis."""
        return tuple(
            step if n == 1 else 2 * step for n, step in zip(self.windows, self.steps, strict=True)
        )

    def weight(self, axis: int, place: np.ndarray) -> np.ndarray:
        """A window along one axis at places in cells from its edge."""
        reach = self.reach[axis]
        if self.windows[axis] == 1:
            return np.ones_like(place)
        inside = (place >= 0) & (place <= reach)
        return np.where(inside, np.sin(np.pi * np.clip(place, 0, reach) / reach), 0)

    def cut(self, grid: Float[Array, "..."]) -> Float[Array, "..."]:
        """The grid in windows: axes (windows..., cells of a window...)."""
        d = len(self.windows)
        pairs = [size for pair in zip(self.windows, self.steps, strict=True) for size in pair]
        parts = grid.reshape(pairs).transpose([*range(0, 2 * d, 2), *range(1, 2 * d, 2)])
        for axis, n in enumerate(self.windows):
            if n > 1:
                parts = jnp.concatenate([parts, jnp.roll(parts, -1, axis)], axis=d + axis)
        return parts

    def paste(self, parts: Float[Array, "..."]) -> Float[Array, "..."]:
        """The transpose of `cut`: windows added up."""
        d = len(self.windows)
        for axis, (n, step) in enumerate(zip(self.windows, self.steps, strict=True)):
            if n > 1:
                first, second = jnp.split(parts, [step], axis=d + axis)
                parts = first + jnp.roll(second, 1, axis)
        order = [axis for pair in zip(range(d), range(d, 2 * d), strict=True) for axis in pair]
        return parts.transpose(order).reshape(self.cells)


class Packets(eqx.Module):
    """(1 + s(k) h(k) s(k))^-1 in packets, on the modes from number `low` on.

    Parameters
    ----------
    layout
        The windows.
    window
        Each window on its cells.
    factor
        1 / (1 + s^2 h) for each window and local wave.
    low
        Modes before this number are none of its business.
    """

    transform: GridTransform = eqx.field(static=True)
    layout: Layout
    window: Float[Array, "..."]
    factor: Float[Array, "..."]
    low: int = eqx.field(static=True)

    def __call__(
        self, cos: Float[Array, " k"], sin: Float[Array, " k"]
    ) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """The approximate inverse times a vector of whitened cosines and sines."""
        d = len(self.layout.windows)
        axes = tuple(range(d, 2 * d))
        before = jnp.zeros(self.low, cos.dtype)
        grid = self.transform(jnp.concatenate([before, cos]), jnp.concatenate([before, sin]))
        parts = self.layout.cut(grid) * self.window
        # fused into the transforms, products would be made over and over
        spectra = jax.lax.optimization_barrier(jnp.fft.rfftn(parts, axes=axes) * self.factor)
        parts = jnp.fft.irfftn(spectra, s=self.layout.reach, axes=axes) * self.window
        all_cos, all_sin = self.transform.modes_of(self.layout.paste(parts))
        return all_cos[self.low :], all_sin[self.low :]


# one object for all packets of a fit, so that what was compiled for one serves them all
@lru_cache(maxsize=4)
def _transform(order: tuple[int, ...], ball: bool, cells: tuple[int, ...]) -> GridTransform:
    return grid_transform(fourier_modes(order, ball), cells)


def _local_waves(layout: Layout, half_widths: Sequence[float]) -> Float[np.ndarray, "waves ndim"]:
    """Wave vectors [1 / kpc] of one window, in the order of `rfftn`."""
    voxel = 2 * np.asarray(half_widths) / np.asarray(layout.cells)
    last = len(voxel) - 1
    axes = [
        2 * np.pi * (np.fft.rfftfreq if axis == last else np.fft.fftfreq)(n, step)
        for axis, (n, step) in enumerate(zip(layout.reach, voxel, strict=True))
    ]
    return np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)


def _seen(
    waves: np.ndarray, directions: np.ndarray, radii: np.ndarray, amplitude: np.ndarray
) -> Float[np.ndarray, " waves"]:
    """sum over rays of |sum over nodes of amplitude exp(i k_r r)|^2 for each wave vector.

    A wave counts through its slope k_r to each ray alone: tabulated in that.
    """
    length = np.linalg.norm(waves, axis=1).max()
    slopes = np.abs(directions.astype(np.float32) @ waves.T.astype(np.float32))
    table = np.linspace(0, length, _SLOPES, dtype=np.float32)
    phase = table[None, :, None] * radii[:, None, :].astype(np.float32)
    amplitude = amplitude.astype(np.float32)[:, :, None]
    power = np.matmul(np.cos(phase), amplitude) ** 2 + np.matmul(np.sin(phase), amplitude) ** 2
    power = power[..., 0]
    nearest = np.rint(slopes * ((_SLOPES - 1) / length)).astype(np.int32)
    total = np.zeros(len(waves), dtype=np.float32)
    for ray in range(len(directions)):
        total += power[ray, nearest[ray]]
    return total


def packets(
    prior: FourierPrior, profiles: Profiles, low: int, generator: np.random.Generator
) -> Packets:
    """Packets for the modes from number `low` on.

    Parameters
    ----------
    prior
        Of the series.
    profiles
        Rays of a sample of the stars.
    low
        Modes before it are left out.
    generator
        Chooses rays where many cross a window.
    """
    layout = Layout.for_order(prior.order)
    box = np.asarray(prior.half_widths)
    windows = [layout.weight(a, np.arange(n) + 0.5) for a, n in enumerate(layout.reach)]
    window = windows[0]
    for other in windows[1:]:
        window = window[..., None] * other
    positions = np.asarray(profiles.positions, dtype=np.float64)
    distance = np.linalg.norm(positions, axis=1)
    radii = np.asarray(profiles.nodes)[None] * distance[:, None]
    directions = positions / distance[:, None]
    places = (radii[..., None] * directions[:, None] + box) / (2 * box / layout.cells)
    places = places.astype(np.float32)
    known = np.asarray(profiles.share * profiles.stars.weight * profiles.about_mean)
    steps = (np.asarray(profiles.steps) * np.sqrt(known)[:, None]).astype(np.float32)
    waves = _local_waves(layout, prior.half_widths)
    carried = np.sum((waves * box / (np.pi * np.asarray(prior.order))) ** 2, axis=1) <= _CARRIED
    numbers = list(np.ndindex(*layout.windows))
    chances = generator.spawn(len(numbers))
    along = [
        [
            layout.weight(a, np.mod(places[..., a] - n * step, layout.cells[a]))
            for n in range(layout.windows[a])
        ]
        for a, step in enumerate(layout.steps)
    ]

    def look(number: tuple[int, ...], chance: np.random.Generator) -> np.ndarray:
        amplitude = steps
        for axis, n in enumerate(number):
            amplitude = amplitude * along[axis][n]
        crossing = np.flatnonzero(amplitude.any(axis=1))
        seen = np.zeros(len(waves), dtype=np.float32)
        if len(crossing):
            some = chance.permutation(crossing)[:_MOST_RAYS]
            found = _seen(waves[carried], directions[some], radii[some], amplitude[some])
            seen[carried] = found * (len(crossing) / len(some))
        return seen

    found = np.stack(list(ray_pool().map(look, numbers, chances)))
    found = found.reshape(*layout.windows, -1)
    cells = float(np.prod(layout.cells))
    seen = _prior_variance(prior, waves) * found * (cells / 2 / np.sum(window**2))
    shape = (*layout.windows, *layout.reach[:-1], layout.reach[-1] // 2 + 1)
    dtype = profiles.steps.dtype
    return Packets(
        _transform(prior.order, prior.ball, layout.cells),
        layout,
        jnp.asarray(_damped(layout, window, _information(layout, box, profiles), seen), dtype),
        jnp.asarray((1 / (1 + seen)).reshape(shape), dtype),
        low,
    )


def _information(
    layout: Layout, half_widths: np.ndarray, profiles: Profiles
) -> Float[np.ndarray, "..."]:
    """How much each cell of the box is seen [any unit]: W rho^2 of the rays through it."""
    positions = np.asarray(profiles.positions, dtype=np.float64)
    nodes = np.asarray(profiles.nodes)
    points = nodes[None, :, None] * positions[:, None]
    cell = np.floor((points / half_widths + 1) / 2 * layout.cells).astype(np.int64)
    flat = np.ravel_multi_index(tuple(np.moveaxis(cell, -1, 0)), layout.cells, mode="wrap")
    weight = np.asarray(profiles.stars.weight * profiles.about_mean)
    amount = weight[:, None] * np.asarray(profiles.steps) * np.asarray(profiles.density)
    found = np.bincount(flat.ravel(), amount.ravel(), int(np.prod(layout.cells)))
    return gaussian_filter(found.reshape(layout.cells), _SMOOTHING_CELLS, mode="wrap")


def _damped(
    layout: Layout,
    window: Float[np.ndarray, "..."],
    information: Float[np.ndarray, "..."],
    seen: Float[np.ndarray, "..."],
) -> Float[np.ndarray, "..."]:
    """Each window, lowered where more is seen than on its average.

    A window that is mostly behind the farthest stars takes its waves to be unseen. At its
    edge, among the stars, they are not.
    """
    parts = np.asarray(layout.cut(jnp.asarray(information)))
    axes = tuple(range(len(layout.windows), parts.ndim))
    mean = np.sum(parts * window**2, axis=axes, keepdims=True) / np.sum(window**2)
    typical = np.quantile(seen, _TYPICAL, axis=-1).reshape(mean.shape)
    ratio = parts / np.maximum(mean, np.finfo(np.float64).tiny)
    return window * np.sqrt(np.minimum(1, (1 + typical) / (1 + typical * ratio)))


def _prior_variance(prior: FourierPrior, waves: np.ndarray) -> Float[np.ndarray, " waves"]:
    """s(k)^2 at any wavenumber, from those of the modes."""
    k = wavenumbers(prior.modes, prior.half_widths)
    order = np.argsort(k)
    scales = np.asarray(prior.scales)[order]
    local = np.clip(np.linalg.norm(waves, axis=1), k[order[0]], k[order[-1]])
    return np.exp(2 * np.interp(np.log(local), np.log(k[order]), np.log(scales)))
