"""Stars kept from every fit, to score it with."""

import astropy_healpix
import numpy as np
from astropy import units as u

from dust3d.config.catalogues import Heldout
from dust3d.errors import TableError
from dust3d.keys import generator_for


def choose_heldout(
    longitude_deg: np.ndarray, latitude_deg: np.ndarray, settings: Heldout, seed: int
) -> np.ndarray:
    """Which stars are held out.

    Parameters
    ----------
    longitude_deg, latitude_deg
        Galactic coordinates [deg], shape (n,).
    settings
        The share of stars; star by star or in whole HEALPix pixels of the Galactic sphere.
    seed
        The run's seed.

    Returns
    -------
    Booleans of shape (n,); at least one star is held out and one is not. Whole pixels are added
    in random order until the share is reached.

    Raises
    ------
    TableError
        If all stars lie in one pixel.
    """
    n = len(longitude_deg)
    number = min(max(round(settings.fraction * n), 1), n - 1)
    rng = generator_for(seed, "heldout")
    if settings.by == "random":
        heldout = np.zeros(n, bool)
        heldout[rng.permutation(n)[:number]] = True
        return heldout
    pixel = astropy_healpix.lonlat_to_healpix(
        longitude_deg * u.deg, latitude_deg * u.deg, settings.nside, order="nested"
    )
    pixels, inverse, counts = np.unique(pixel, return_inverse=True, return_counts=True)
    if len(pixels) == 1:
        raise TableError(
            f"all {n} stars lie in one HEALPix pixel, which cannot be both fitted and held out; "
            "raise heldout.nside or set heldout.by: random"
        )
    order = rng.permutation(len(pixels))
    needed = int(np.searchsorted(np.cumsum(counts[order]), number)) + 1
    taken = np.zeros(len(pixels), bool)
    taken[order[: min(needed, len(pixels) - 1)]] = True
    return taken[inverse]
