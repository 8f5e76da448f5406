"""Steps that are straight in the density, not in its logarithm.

Extinction is linear in rho: where a step raises ln rho by u, the data mean rho (1 + u),
and exp(u) would overshoot; where it lowers it, a long step would drill a hole from
which no slope leads out. So ln rho moves by ln(1 + u), by ln(1/2) at least. For short
steps that is u itself, less u^2 / 2.
"""

import equinox as eqx
import jax.numpy as jnp

from dust3d.inference.prior import SumPrior, Xi
from dust3d.rays.grid import Grid, fast_size, ln_density_on
from dust3d.transforms.grid import grid_transform

_OVERSAMPLING = 1.5
_LOWEST = -0.5


@eqx.filter_jit
def bent(prior: SumPrior, before: Xi, after: Xi) -> Xi:
    """Whitened parameters of the field, where a step from `before` straight to `after` leads.

    Parameters
    ----------
    prior
        Of a Fourier series in cosines and sines, and a mean.
    before, after
        Whitened parameters of the field.
    """
    series = prior.parts["varying"]
    cells = tuple(fast_size(2 * m * _OVERSAMPLING + 2) for m in series.order)
    grid = Grid(cells, series.half_widths)
    dtype = after["varying"]["cos"].dtype
    change = ln_density_on(prior.field(after), grid, dtype)
    change = change - ln_density_on(prior.field(before), grid, dtype)
    missing = jnp.log1p(jnp.maximum(change, _LOWEST)) - change
    transform = grid_transform(series.modes, grid.cells)
    cos, sin = transform.modes_of(missing)
    varying = {
        "cos": after["varying"]["cos"] + cos / series.scales,
        "sin": after["varying"]["sin"] + sin / series.scales,
    }
    mean = prior.parts["mean"].raised(after["mean"], jnp.mean(missing))
    return {**after, "varying": varying, "mean": mean}
