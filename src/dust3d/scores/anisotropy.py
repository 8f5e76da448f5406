"""Fingers of God: structure stretched along the line of sight, for distances are less certain."""

from collections.abc import Sequence

import numpy as np

from dust3d.scores.spectra import is_flat


def radial_excess(
    ln_density: np.ndarray, axes: Sequence[np.ndarray], where: np.ndarray | None = None
) -> float | None:
    """2 <(d_r ln rho)^2> / <|grad_perp ln rho|^2> about the Sun; in 2-D without the 2.

    1 where structure has no direction, below 1 where it is stretched towards the Sun, above
    where it lies in shells around it.

    Parameters
    ----------
    ln_density
        On a grid.
    axes
        Its coordinates along each axis [kpc].
    where
        Cells that count; none: all. One at the Sun never does: it sees no direction.

    Returns
    -------
    None for a field without structure, or without cells.
    """
    if is_flat(ln_density):
        return None
    mesh = np.meshgrid(*axes, indexing="ij", sparse=True)
    distance = np.sqrt(sum(x**2 for x in mesh))
    chosen = distance > 1e-6 * distance.max()
    if where is not None:
        chosen &= where
    if not chosen.any():
        return None
    gradient = np.gradient(ln_density, *axes)
    total = sum(g**2 for g in gradient)[chosen]
    along = sum(g * x for g, x in zip(gradient, mesh, strict=True))[chosen] / distance[chosen]
    across = np.mean(total - along**2)
    return float((len(axes) - 1) * np.mean(along**2) / across) if across > 0 else None
