"""By which a known sky is recognised: a digest of its dust that rounding does not change."""

import hashlib

import jax.numpy as jnp
import numpy as np
from scipy.stats import qmc

from dust3d.config.base import Box
from dust3d.errors import ConfigError
from dust3d.fields.base import Field

_PLACES = 64
_DECIMALS = 4


def truth_digest(field: Field, box: Box) -> str:
    """The first 16 hexadecimal digits of SHA-256 of ln rho at fixed places all over the box.

    Values count to the fourth decimal, so that another machine's rounding makes no other digest.

    Parameters
    ----------
    field
        ln(rho / (mag / kpc)), in double precision.
    box
        The box of the map.
    """
    unit = qmc.Halton(box.ndim, scramble=False).random(_PLACES)
    places = (2 * unit - 1) * np.asarray(box.half_widths_kpc)
    # adding zero makes -0 into 0
    values = np.round(np.asarray(field.at(jnp.asarray(places)), np.float64), _DECIMALS) + 0.0
    text = ",".join(f"{value:.{_DECIMALS}f}" for value in values)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_digest(found: str, expected: str | None) -> None:
    """Compare a digest with the one that a configuration states, if any.

    Raises
    ------
    ConfigError
        If they differ.
    """
    if expected not in (None, found):
        raise ConfigError(
            f"mock.truth_digest = {expected}, but this seed and mock.truth make a sky with "
            f"{found}: its scores would not be comparable; restore `seed`, `box` and `mock.truth`, "
            "or state the new digest (or none)"
        )
