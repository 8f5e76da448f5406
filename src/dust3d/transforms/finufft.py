"""Fourier series at scattered points by FINUFFT (Barnett, Magland & af Klinteberg 2019), on a CPU.

jax-finufft is imported when it is first needed: it has wheels for some systems only.
"""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from dust3d.determinism import is_deterministic

# the finest tolerance that FINUFFT's kernels reach in each precision
_FINEST = {4: 1e-6, 8: 1e-14}
# below, waking a second thread costs more than it saves
_POINTS_PER_THREAD = 1 << 13


@cache
def installed() -> bool:
    """Whether jax-finufft is there."""
    return find_spec("jax_finufft") is not None


def available() -> bool:
    """Whether FINUFFT can be used: it is installed, and JAX computes on a CPU."""
    return jax.default_backend() == "cpu" and installed()


def synthesis(
    coefficients: Complex[Array, "..."],
    order: Sequence[int],
    half_widths: Sequence[float],
    points: Float[Array, "n ndim"],
    accuracy: float,
) -> Float[Array, " n"]:
    """Re sum_m c_m exp(i pi m . x / L) at points [kpc]; c as in `lattice_coefficients`."""
    from jax_finufft import nufft2

    angles, turn = _angles(order, half_widths, points)
    options = _options(len(points))
    eps = _tolerance(accuracy, points)
    values = nufft2(coefficients, *angles, iflag=1, eps=eps, opts=options)
    return (values * turn).real


def analysis(
    values: Float[Array, " n"],
    order: Sequence[int],
    half_widths: Sequence[float],
    points: Float[Array, "n ndim"],
    accuracy: float,
) -> Complex[Array, "..."]:
    """The transpose of `synthesis`: sum over points of y exp(i pi m . x / L) for each mode."""
    from jax_finufft import nufft1

    angles, turn = _angles(order, half_widths, points)
    shape = (order[0] + 1, *(2 * m + 1 for m in order[1:]))
    options = _options(len(points))
    return nufft1(
        shape, values * turn, *angles, iflag=1, eps=_tolerance(accuracy, points), opts=options
    )


def _angles(
    order: Sequence[int], half_widths: Sequence[float], points: Float[Array, "n ndim"]
) -> tuple[list[Array], Array]:
    """pi x / L along each axis, and the wave about which the modes 0 to m_1 are symmetric.

    FINUFFT's modes run from -n/2; the lattice of a real series has none below 0 on
    its first axis, which halves the grid.
    """
    angles = [points[:, j] * np.asarray(np.pi / h, points.dtype) for j, h in enumerate(half_widths)]
    return angles, jnp.exp(1j * ((order[0] + 1) // 2) * angles[0])


def _tolerance(accuracy: float, points: Array) -> float:
    return max(accuracy, _FINEST[points.dtype.itemsize])


def _options(points: int) -> Any:
    from jax_finufft.options import Opts

    # threads add to the grid in whatever order they come
    alone = points < _POINTS_PER_THREAD or is_deterministic()
    # 0: as many threads as there are cores. A factor of 1.25 makes the grid smaller and the
    # kernel wider: slower for as few modes as these
    return Opts(nthreads=1 if alone else 0, upsampfac=2.0)
