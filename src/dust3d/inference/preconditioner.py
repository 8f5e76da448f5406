"""A two-level approximate inverse of the metric: dense for long waves, packets for short ones."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from dust3d.inference.lowmodes import LowModes, join, low_modes, split
from dust3d.inference.packets import Packets, packets
from dust3d.inference.prior import Xi
from dust3d.inference.profiles import Profiles
from dust3d.inference.target import Target


class TwoLevel(eqx.Module):
    """Symmetric, positive, and close to M^-1 on either side of the divide.

    Parameters
    ----------
    block
        The longest modes and all that is no mode.
    short
        The other modes; none if there are no more.
    low
        How many modes the block has.
    like
        Whitened parameters, for their structure.
    """

    block: LowModes
    short: Packets | None
    low: int = eqx.field(static=True)
    like: Xi

    @eqx.filter_jit
    def __call__(self, flat: Float[Array, " p"]) -> Float[Array, " p"]:
        """The approximate inverse times a vector."""
        _, unravel = ravel_pytree(self.like)
        vector, undo, high = split(unravel(flat), self.low)
        if self.short is not None:
            high = self.short(*high)
        return ravel_pytree(join(undo(self.block.solve(vector)), high))[0]


def two_level(
    target: Target, xi: Xi, profiles: Profiles, generator: np.random.Generator, *, most: int
) -> TwoLevel:
    """The preconditioner at one place of the posterior.

    Parameters
    ----------
    target, xi
        The posterior of a Fourier fit, and the place in it.
    profiles
        Rays of a sample of the stars.
    generator
        Chooses rays for the packets.
    most
        Parameters of the dense block at most, those that are no modes beside.
    """
    prior = target.prior.parts["varying"]
    number = xi["field"]["varying"]["cos"].size
    low = min(number, most // 2)
    block = low_modes(target, xi, profiles, low)
    short = packets(prior, profiles, low, generator) if low < number else None
    return TwoLevel(block, short, low, jax.tree.map(jnp.zeros_like, xi))
