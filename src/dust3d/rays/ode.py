"""Reference rays: the neural ODE dA/dt = |x| exp(ln rho(t x)), solved adaptively.

Right for any field and any adjoint, and slow: the exact and the production rays
are held to it by the tests.
"""

from collections.abc import Callable

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from dust3d.config.model import ReferenceRays
from dust3d.fields.base import Field

LnDensity = Callable[[Float[Array, " ndim"]], Float[Array, ""]]

_SOLVERS = {"dopri5": diffrax.Dopri5, "tsit5": diffrax.Tsit5}
_ADJOINTS = {
    "recursive_checkpoint": diffrax.RecursiveCheckpointAdjoint,
    "direct": diffrax.DirectAdjoint,
    "backsolve": diffrax.BacksolveAdjoint,
}
_MAX_STEPS = 1 << 14
_FIRST_STEP = 1e-3


def _largest(error: PyTree) -> Float[Array, ""]:
    """The largest entry; the backsolve adjoint also integrates the gradient, a whole tree."""
    leaves = [jnp.abs(leaf).ravel() for leaf in jax.tree.leaves(error) if leaf.size]
    return jnp.max(jnp.concatenate(leaves))


def _solve(rate, initial, argument, reach, settings: ReferenceRays):
    longest = None if settings.max_step_kpc is None else settings.max_step_kpc / reach
    adjoint = _ADJOINTS[settings.adjoint]()
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(rate),
        _SOLVERS[settings.solver](),
        t0=0.0,
        t1=1.0,
        dt0=_FIRST_STEP,
        y0=initial,
        args=argument,
        # one step for all rays of a batch, so the worst of them decides
        stepsize_controller=diffrax.PIDController(
            rtol=settings.rtol, atol=settings.atol, dtmax=longest, norm=_largest
        ),
        adjoint=adjoint,
        max_steps=_MAX_STEPS,
    )
    return solution.ys[-1]


def extinction(
    ln_density: LnDensity,
    star: Float[Array, " ndim"],
    *,
    settings: ReferenceRays | None = None,
) -> Float[Array, ""]:
    """Extinction from the Sun to one star.

    Parameters
    ----------
    ln_density
        Any differentiable pytree callable from a position [kpc] to ln(rho / (mag / kpc)).
    star
        Position [kpc]. Raises `EquinoxRuntimeError` at the Sun itself.
    settings
        Solver, tolerances and adjoint.

    Returns
    -------
    Extinction [mag].
    """
    star = eqx.error_if(star, jnp.all(star == 0), "a star at the Sun has no sightline")

    # all that gradients flow to goes through `args`: the backsolve adjoint sees nothing else
    def rate(t, _, argument):
        function, place = argument
        return jnp.linalg.norm(place) * jnp.exp(function(t * place))

    zero, reach = jnp.zeros((), star.dtype), jax.lax.stop_gradient(jnp.linalg.norm(star))
    return _solve(rate, zero, (ln_density, star), reach, settings or ReferenceRays())


def solve(
    field: Field, stars: Float[Array, "n ndim"], settings: ReferenceRays
) -> Float[Array, " n"]:
    """Extinctions [mag] to a batch of stars [kpc], with one step size for all, differentiable."""

    def rate(t, _, argument):
        function, places = argument
        return jnp.linalg.norm(places, axis=1) * jnp.exp(function.at(t * places))

    reach = jax.lax.stop_gradient(jnp.max(jnp.linalg.norm(stars, axis=1)))
    return _solve(rate, jnp.zeros(len(stars), stars.dtype), (field, stars), reach, settings)


_solve_jitted = eqx.filter_jit(solve)


def extinctions(
    field: Field,
    positions: Float[Array, "n ndim"],
    settings: ReferenceRays | None = None,
    *,
    batch: int = 2048,
) -> Float[Array, " n"]:
    """Extinctions [mag] from the Sun to many stars [kpc].

    Stars of like distance are solved together, with one step size that the worst
    ray of the batch decides.

    Raises
    ------
    ValueError
        If a star lies at the Sun.
    """
    distances = np.linalg.norm(np.asarray(positions), axis=1)
    if not np.all(distances > 0):
        raise ValueError("a star at the Sun has no sightline")
    order = np.argsort(distances)
    out = np.zeros(len(order), positions.dtype)
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        # the last batch repeats its last star: one shape, one compilation
        padded = np.pad(rows, (0, min(batch, len(order)) - len(rows)), mode="edge")
        found = _solve_jitted(field, jnp.asarray(positions)[padded], settings or ReferenceRays())
        out[rows] = np.asarray(found)[: len(rows)]
    return jnp.asarray(out)
