"""How many nodes are enough: they are doubled until extinctions stand still.

One rule for all who need extinctions without an error of quadrature. What "enough" is
differs: a fit wants one number of nodes for all its stars, a mock and a query want each
value settled.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Integrate = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Settled:
    """Extinctions, and how they came to rest.

    Parameters
    ----------
    values
        Extinctions [mag], each from the most nodes that it was given.
    nodes
        n for which all but the outermost values changed by less than the tolerance from
        n to 2 n nodes; none if there was no such n.
    change_mag
        That percentile of |A_n - A_2n|; the last one if none was small enough.
    largest_mag
        The largest last change.
    moving
        Which values still changed by more at the end; where each value has to settle.
    finest
        The most nodes that were tried.
    """

    values: np.ndarray
    nodes: int | None
    change_mag: float
    largest_mag: float
    moving: np.ndarray
    finest: int


def settle(
    integrate: Integrate,
    number: int,
    *,
    first: int,
    most: int,
    tolerance_mag: float,
    percentile: float,
    each: bool,
) -> Settled:
    """Double the nodes until a percentile of the changes, or each of them, is small.

    Parameters
    ----------
    integrate
        From the numbers of some values and a number of nodes to those extinctions [mag].
    number
        Values in all.
    first, most
        Nodes to begin with, and not to be exceeded.
    tolerance_mag
        Largest change from n to 2 n nodes.
    percentile
        Of the changes, to call the nodes enough. Until then all values go on, also those
        that did not change: a few that agree by chance are no sign.
    each
        Whether those beyond the percentile go on alone until they, too, stand still.
    """
    count, going_on = first, np.arange(number)
    found = np.array(integrate(going_on, count), dtype=np.float64)
    moving, nodes, change_mag = np.full(number, True), None, np.inf
    last = np.full(number, np.inf)
    while going_on.size and 2 * count <= most:
        fine = integrate(going_on, 2 * count)
        change = np.abs(fine - found[going_on])
        found[going_on], last[going_on] = fine, change
        moving[going_on] = ~(change < tolerance_mag)
        if nodes is None:
            change_mag = float(np.percentile(change, percentile))
            nodes = count if change_mag < tolerance_mag else None
        count *= 2
        if nodes is not None:
            going_on = going_on[moving[going_on]] if each else going_on[:0]
        if not np.all(np.isfinite(change)):
            break
    largest_mag = float(last.max(initial=0.0))
    return Settled(found, nodes, change_mag, largest_mag, moving, count)
