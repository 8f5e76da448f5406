"""Linear maps that bring their own transpose: all of JAX's derivatives follow from the two.

A map acts on columns. Its derivative is itself, its transpose is given, and `vmap`
adds columns, so that `jvp`, `vjp`, `linearize`, `linear_transpose` and `vmap` all
work, under `jit` too; the two functions may call back to the host.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

Map = Callable[[Any, Float[Array, "n c"]], Float[Array, "m c"]]

_map = Primitive("columnwise_map")


def linear_map(
    forward: Map, transposed: Map, context: Any, columns: Float[Array, "n c"]
) -> Float[Array, "m c"]:
    """forward(context, columns), linear in the columns.

    Parameters
    ----------
    forward, transposed
        The map and its transpose, hashable; each takes `context` and columns.
    context
        A pytree of arrays that both depend on; derivatives take it as constant.
    columns
        Each is mapped alone.
    """
    leaves, tree = jax.tree.flatten(context)
    out = _map.bind(*leaves, columns, forward=forward, transposed=transposed, tree=tree)
    return out


def _run(*operands, forward, transposed, tree):
    *leaves, columns = operands
    return forward(jax.tree.unflatten(tree, leaves), columns)


def _shape(*operands, **parameters):
    like = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in operands]
    out = jax.eval_shape(lambda *some: _run(*some, **parameters), *like)
    return jax.core.ShapedArray(out.shape, out.dtype)


def _derivative(primals, tangents, **parameters):
    *context, columns = primals
    out = _map.bind(*context, columns, **parameters)
    if isinstance(tangents[-1], ad.Zero):
        return out, ad.Zero.from_primal_value(out)
    return out, _map.bind(*context, tangents[-1], **parameters)


def _transpose(cotangent, *operands, forward, transposed, tree):
    *context, columns = operands
    none = [None] * len(context)
    if isinstance(cotangent, ad.Zero):
        return [*none, ad.Zero(columns.aval)]
    back = _map.bind(*context, cotangent, forward=transposed, transposed=forward, tree=tree)
    return [*none, back]


def _batch(operands, axes, **parameters):
    *context, columns = operands
    *context_axes, axis = axes
    if any(a is not None for a in context_axes):
        size = next(x.shape[a] for x, a in zip(operands, axes, strict=True) if a is not None)
        moved = [
            jnp.broadcast_to(x, (size, *x.shape)) if a is None else jnp.moveaxis(x, a, 0)
            for x, a in zip(operands, axes, strict=True)
        ]
        return jax.lax.map(lambda some: _map.bind(*some, **parameters), tuple(moved)), 0
    wide = jnp.moveaxis(columns, axis, -1)
    n, c, many = wide.shape
    out = _map.bind(*context, wide.reshape(n, c * many), **parameters)
    return out.reshape(out.shape[0], c, many), 2


_map.def_impl(_run)
_map.def_abstract_eval(_shape)
ad.primitive_jvps[_map] = _derivative
ad.primitive_transposes[_map] = _transpose
batching.primitive_batchers[_map] = _batch
mlir.register_lowering(_map, mlir.lower_fun(_run, multiple_results=False))
