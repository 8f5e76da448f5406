"""Fourier series at scattered points, as products of one exponential per axis.

sum_m c_m exp(i pi m . x / L) over a full lattice of modes is a contraction of the
coefficient tensor with exp(i pi m_j x_j / L_j) axis by axis: a matrix product and
two short sums per point, exact to rounding.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

_ELEMENTS_PER_CHUNK = 1 << 22


def phases(
    coordinate: Float[Array, " n"], modes: np.ndarray, half_width: float
) -> Complex[Array, "n m"]:
    """exp(i pi m x / L) for each point and each integer mode along one axis."""
    angle = coordinate[:, None] * jnp.asarray(np.pi * modes / half_width, coordinate.dtype)
    return jnp.exp(1j * angle)


def waves(
    position: Float[Array, " ndim"],
    modes: np.ndarray,
    order: Sequence[int],
    half_widths: Sequence[float],
) -> Complex[Array, " k"]:
    """exp(i k.x) of each mode at one position [kpc]."""
    wave = jnp.ones(len(modes), jnp.result_type(position, 1j))
    for j, (m, half) in enumerate(zip(order, half_widths, strict=True)):
        factor = phases(position[None, j], np.arange(-m, m + 1), half)[0]
        wave = wave * factor[modes[:, j] + m]
    return wave


def lattice_coefficients(
    modes: np.ndarray, order: Sequence[int], cos: Float[Array, " k"], sin: Float[Array, " k"]
) -> Complex[Array, "..."]:
    """The half-space series a cos(k x) + b sin(k x) on a lattice, as Re sum c exp(i k x).

    Returns
    -------
    c = a - i b at index m_j + order_j on each axis but the first, where only m_1 >= 0
    occurs; shape (order_1 + 1, 2 order_2 + 1, ...).
    """
    shape = (order[0] + 1, *(2 * m + 1 for m in order[1:]))
    index = tuple(modes[:, j] + (0 if j == 0 else order[j]) for j in range(modes.shape[1]))
    return (
        jnp.zeros(shape, jnp.result_type(cos, 1j))
        .at[index]
        .set(cos - 1j * sin, unique_indices=True)
    )


def evaluate(
    coefficients: Complex[Array, "..."],
    order: Sequence[int],
    half_widths: Sequence[float],
    points: Float[Array, "n ndim"],
) -> Float[Array, " n"]:
    """Re sum_m c_m exp(i pi m . x / L) at points [kpc], in chunks of bounded memory."""

    def chunk(points):
        first, others = _factors(order, half_widths, points)
        total = first @ coefficients.reshape(coefficients.shape[0], -1)
        total = total.reshape(points.shape[0], *coefficients.shape[1:])
        for factor in others:
            total = jnp.einsum("nm...,nm->n...", total, factor)
        return total.real

    n, size = points.shape[0], _chunk_size(order, points.shape[0])
    if size >= n:
        return chunk(points)
    padded = jnp.pad(points, ((0, -n % size), (0, 0)))
    return jax.lax.map(chunk, padded.reshape(-1, size, points.shape[1])).ravel()[:n]


def transposed(
    values: Float[Array, " n"],
    order: Sequence[int],
    half_widths: Sequence[float],
    points: Float[Array, "n ndim"],
) -> Complex[Array, "..."]:
    """The transpose of `evaluate`: sum over points of y exp(i pi m . x / L) for each mode."""
    shape = (order[0] + 1, *(2 * m + 1 for m in order[1:]))

    def chunk(values, points):
        first, others = _factors(order, half_widths, points)
        total = values[:, None].astype(first.dtype)
        for factor in others:
            total = (total[:, :, None] * factor[:, None, :]).reshape(len(values), -1)
        return (first.T @ total).reshape(shape)

    def add(total, some):
        return total + chunk(*some), None

    n, size = points.shape[0], _chunk_size(order, points.shape[0])
    if size >= n:
        return chunk(values, points)
    points = jnp.pad(points, ((0, -n % size), (0, 0))).reshape(-1, size, points.shape[1])
    values = jnp.pad(values, (0, -n % size)).reshape(-1, size)
    zeros = jnp.zeros(shape, jnp.result_type(points, 1j))
    return jax.lax.scan(add, zeros, (values, points))[0]


def _factors(
    order: Sequence[int], half_widths: Sequence[float], points: Float[Array, "n ndim"]
) -> tuple[Array, list[Array]]:
    """The waves of modes 0 to m along the first axis, and of -m to m along the others."""
    ranges = [np.arange(0 if j == 0 else -m, m + 1) for j, m in enumerate(order)]
    first, *others = (
        phases(points[:, j], modes, half)
        for j, (modes, half) in enumerate(zip(ranges, half_widths, strict=True))
    )
    return first, others


def _chunk_size(order: Sequence[int], points: int) -> int:
    per_point = int(np.prod([2 * m + 1 for m in order[1:]]))
    return max(1, min(points, _ELEMENTS_PER_CHUNK // per_point))


def evaluate_grid(
    coefficients: Complex[Array, "..."],
    order: Sequence[int],
    half_widths: Sequence[float],
    axes: Sequence[Float[Array, " _"]],
) -> Float[Array, "..."]:
    """Re sum_m c_m exp(i pi m . x / L) on the grid spanned by coordinate arrays [kpc].

    One axis after the other, short ones first, so that any grid, also one that covers a
    part of the box or a plane of it, costs little more than its largest product.
    """
    total = coefficients
    # axes of the grid gather at the back, in this order
    done = sorted(range(len(axes)), key=lambda j: len(axes[j]) / (2 * order[j] + 1))
    left = list(range(len(axes)))
    for j in done:
        low = 0 if j == 0 else -order[j]
        factor = phases(axes[j], np.arange(low, order[j] + 1), half_widths[j])
        total = jnp.tensordot(total, factor, axes=[[left.index(j)], [1]])
        left.remove(j)
    return total.real.transpose([done.index(j) for j in range(len(axes))])
