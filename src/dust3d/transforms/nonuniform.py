"""One Fourier series at many scattered points: values, their exact adjoint, and derivatives.

`synthesis` is linear in the coefficients, and its derivatives along the points are
synthesis of the series of the gradient, so that every transformation of JAX works on it
whichever way it is computed. Three ways: FINUFFT (a CPU, where there is a wheel), a
kernel gather in JAX alone (a GPU, and elsewhere), and separable products (exact to
rounding, and the fastest for few points or modes).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Complex, Float

from dust3d.transforms import finufft, gather, separable

Method = Literal["auto", "finufft", "gather", "separable"]

_FAST = {"finufft": finufft, "gather": gather}
# measured: separable products cost about a nanosecond for each mode of each point, and the FFT
# of the others alone as much as a hundred points or more
_FEW_POINTS = 100
_MOST_PRODUCTS = 1e6
_DEFAULT_ACCURACY = {4: 1e-5, 8: 1e-10}


@dataclass(frozen=True)
class Evaluator:
    """How Fourier series are evaluated at scattered points.

    Parameters
    ----------
    method
        `finufft`, `gather`, `separable`, or `auto`, the fastest of them here.
    accuracy
        Largest rms error of the values over (sum a^2 + b^2)^(1/2); none: 1e-5 for
        single and 1e-10 for double precision. No finer than rounding lets it be.
    """

    method: Method = "auto"
    accuracy: float | None = None

    def __call__(
        self,
        coefficients: Complex[Array, "..."],
        order: Sequence[int],
        half_widths: Sequence[float],
        points: Float[Array, "n ndim"],
    ) -> Float[Array, " n"]:
        """Re sum_m c_m exp(i pi m . x / L) at points [kpc].

        Parameters
        ----------
        coefficients
            c = a - i b on a lattice, from `separable.lattice_coefficients`.
        order, half_widths
            Highest mode, and L [kpc], along each axis.
        points
            Positions [kpc]; outside the box the series is periodic.
        """
        real = jnp.result_type(coefficients.real, points)
        accuracy = self.accuracy or _DEFAULT_ACCURACY[real.itemsize]
        method = self.method
        if method == "auto" or not len(points):
            method = fastest(order, len(points))
        return _synthesis.bind(
            coefficients.astype(jnp.result_type(real, 1j)),
            points.astype(real),
            order=tuple(order),
            half_widths=tuple(half_widths),
            method=method,
            accuracy=accuracy,
        )


def fastest(order: Sequence[int], points: int) -> Method:
    """The fastest way for this order and number of points on this machine."""
    modes = np.prod([2.0 * m + 1 for m in order])
    if points <= _FEW_POINTS or points * modes <= _MOST_PRODUCTS:
        return "separable"
    return "finufft" if finufft.available() else "gather"


def _synthesize(coefficients, points, *, order, half_widths, method, accuracy):
    if method == "separable":
        return separable.evaluate(coefficients, order, half_widths, points)
    return _FAST[method].synthesis(coefficients, order, half_widths, points, accuracy)


def _analyse(values, points, *, order, half_widths, method, accuracy):
    if method == "separable":
        return separable.transposed(values, order, half_widths, points)
    return _FAST[method].analysis(values, order, half_widths, points, accuracy)


def _values_like(coefficients, points, **_):
    return ShapedArray((points.shape[0],), points.dtype)


def _coefficients_like(values, points, *, order, **_):
    shape = (order[0] + 1, *(2 * m + 1 for m in order[1:]))
    return ShapedArray(shape, jnp.result_type(points.dtype, 1j))


def _wave_number(order: Sequence[int], half_widths: Sequence[float], axis: int) -> np.ndarray:
    """i k along one axis, of a shape that broadcasts over the lattice."""
    modes = np.arange(0 if axis == 0 else -order[axis], order[axis] + 1)
    shape = [-1 if j == axis else 1 for j in range(len(order))]
    return (1j * np.pi * modes / half_widths[axis]).reshape(shape)


def _synthesis_jvp(primals, tangents, **how):
    (coefficients, points), (change, moved) = primals, tangents
    values = _synthesis.bind(coefficients, points, **how)
    parts = []
    if type(change) is not ad.Zero:
        parts.append(_synthesis.bind(change, points, **how))
    if type(moved) is not ad.Zero:
        for j in range(points.shape[1]):
            ik = _wave_number(how["order"], how["half_widths"], j).astype(coefficients.dtype)
            parts.append(moved[:, j] * _synthesis.bind(ik * coefficients, points, **how))
    return values, _total(parts, values)


def _analysis_jvp(primals, tangents, **how):
    (values, points), (change, moved) = primals, tangents
    coefficients = _analysis.bind(values, points, **how)
    parts = []
    if type(change) is not ad.Zero:
        parts.append(_analysis.bind(change, points, **how))
    if type(moved) is not ad.Zero:
        for j in range(points.shape[1]):
            ik = _wave_number(how["order"], how["half_widths"], j).astype(coefficients.dtype)
            parts.append(ik * _analysis.bind(moved[:, j] * values, points, **how))
    return coefficients, _total(parts, coefficients)


def _total(parts, primal):
    return sum(parts[1:], parts[0]) if parts else jnp.zeros_like(primal)


# both are linear in their first argument, and each is the other's transpose
def _synthesis_transpose(cotangent, _, points, **how):
    return [_analysis.bind(ad.instantiate_zeros(cotangent), points, **how), None]


def _analysis_transpose(cotangent, _, points, **how):
    return [_synthesis.bind(ad.instantiate_zeros(cotangent), points, **how), None]


def _primitive(name, implementation, abstract, jvp, transpose) -> Primitive:
    primitive = Primitive(name)
    static = ("order", "half_widths", "method", "accuracy")
    primitive.def_impl(jax.jit(implementation, static_argnames=static))
    primitive.def_abstract_eval(abstract)
    mlir.register_lowering(primitive, mlir.lower_fun(implementation, multiple_results=False))
    ad.primitive_jvps[primitive] = jvp
    ad.primitive_transposes[primitive] = transpose
    batching.primitive_batchers[primitive] = partial(_batched, primitive, implementation)
    return primitive


def _batched(primitive, implementation, arguments, axes, **how):
    moved = [
        a if axis is None else jnp.moveaxis(a, axis, 0)
        for a, axis in zip(arguments, axes, strict=True)
    ]
    if how["method"] == "separable":
        inside = [None if axis is None else 0 for axis in axes]
        return jax.vmap(partial(implementation, **how), inside)(*moved), 0
    if primitive is _synthesis and axes[0] is None:
        coefficients, points = moved
        values = primitive.bind(coefficients, points.reshape(-1, points.shape[2]), **how)
        return values.reshape(points.shape[:2]), 0
    # a transform is large: one after the other
    mapped = [a for a, axis in zip(moved, axes, strict=True) if axis is not None]

    def one(rows):
        rows = iter(rows)
        given = (a if axis is None else next(rows) for a, axis in zip(moved, axes, strict=True))
        return primitive.bind(*given, **how)

    return jax.lax.map(one, mapped), 0


_synthesis = _primitive(
    "fourier_synthesis", _synthesize, _values_like, _synthesis_jvp, _synthesis_transpose
)
_analysis = _primitive(
    "fourier_analysis", _analyse, _coefficients_like, _analysis_jvp, _analysis_transpose
)
