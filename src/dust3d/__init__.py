"""dust3d: three-dimensional maps of interstellar dust from stars."""

from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from dust3d.maps.open import DustMap

__version__ = version("dust3d")
__all__ = ["__version__", "open_map"]


def open_map(path: "str | Path", *, samples: bool = True) -> "DustMap":
    """Open a finished fit or a truth as a map that answers queries.

    Parameters
    ----------
    path
        Folder of a fit (`results/NAME/fits/FIT`) or of a truth (`results/NAME/truth`).
    samples
        Whether the samples of a fit's posterior are taken along where they are; without them
        answers are those of the maximum, and come sooner.

    Raises
    ------
    ProductError
        If there is no map, or one that this version cannot read.
    """
    # imported here so that `import dust3d` stays quick and free of jax
    from dust3d.maps.open import open_map as open_folder

    return open_folder(path, samples=samples)
