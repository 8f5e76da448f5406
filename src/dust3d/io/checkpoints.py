"""Checkpoints: the whole state of a fit between two epochs, exact to the bit."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from dust3d.conventions import CHECKPOINT_FORMAT
from dust3d.errors import ProductError
from dust3d.io.hdf5 import group_in, reading, write_attrs, writing


def save_checkpoint(
    path: str | Path, tree: Any, arrays: dict[str, np.ndarray], attrs: dict[str, Any]
) -> None:
    """Write a pytree of arrays, further named arrays, and attributes."""
    with writing(path, CHECKPOINT_FORMAT) as file:
        write_attrs(file, attrs)
        leaves = file.create_group("leaves")
        for i, leaf in enumerate(jax.tree.leaves(tree)):
            leaves[f"{i:05d}"] = np.asarray(leaf)
        group = file.create_group("arrays")
        for name, array in arrays.items():
            group[name] = array


def checkpoint_attrs(path: str | Path) -> dict[str, Any]:
    """Attributes of a checkpoint."""
    with reading(path, CHECKPOINT_FORMAT) as file:
        return dict(file.attrs)


def load_checkpoint(path: str | Path, like: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """The pytree and the named arrays of a checkpoint.

    Parameters
    ----------
    path
        The file.
    like
        A pytree of the same structure, shapes and types.

    Raises
    ------
    ProductError
        If the file is damaged or its arrays do not fit.
    """
    with reading(path, CHECKPOINT_FORMAT) as file:
        leaves_there, arrays_there = group_in(file, "leaves"), group_in(file, "arrays")
        stored = [np.asarray(leaves_there[name]) for name in sorted(leaves_there)]
        arrays = {str(name): np.asarray(arrays_there[name]) for name in arrays_there}
    leaves, structure = jax.tree.flatten(like)
    shapes = [(np.shape(a), np.asarray(a).dtype) for a in leaves]
    if [(a.shape, a.dtype) for a in stored] != shapes:
        raise ProductError(f"{path}: the checkpoint is of another fit; delete it and run again")
    return jax.tree.unflatten(structure, [jax.numpy.asarray(a) for a in stored]), arrays
