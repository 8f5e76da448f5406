"""Checkpoints: the whole state of a fit between two steps, exact to the bit.

Each ends with a checksum of its content, and the one before it is kept: should the newest be
damaged, there is another.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dust3d.conventions import CHECKPOINT_FORMAT
from dust3d.errors import ProductError
from dust3d.io.hdf5 import group_in, reading, write_attrs, writing
from dust3d.io.seals import check_seal


def previous_path(path: str | Path) -> Path:
    """Where the checkpoint before the newest one is."""
    path = Path(path)
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def stored_paths(path: str | Path) -> Iterator[Path]:
    """The checkpoints that are there, the newest first."""
    return (p for p in (Path(path), previous_path(path)) if p.exists())


@dataclass(frozen=True)
class Checkpoint:
    """What was read of a checkpoint.

    Parameters
    ----------
    path
        Its file.
    attrs
        Its attributes.
    leaves
        The leaves of its pytree.
    arrays
        Its named arrays.
    """

    path: Path
    attrs: dict[str, Any]
    leaves: list[np.ndarray]
    arrays: dict[str, np.ndarray]

    def tree(self, like: Any) -> Any:
        """The pytree.

        Parameters
        ----------
        like
            A pytree of the same structure, shapes and types.

        Raises
        ------
        ProductError
            If the arrays do not fit.
        """
        leaves, structure = jax.tree.flatten(like)
        shapes = [(np.shape(a), np.asarray(a).dtype) for a in leaves]
        if [(a.shape, a.dtype) for a in self.leaves] != shapes:
            raise ProductError(
                f"{self.path}: the checkpoint is of another fit; delete it and run again"
            )
        return jax.tree.unflatten(structure, [jax.numpy.asarray(a) for a in self.leaves])


def save_checkpoint(
    path: str | Path, tree: Any, arrays: dict[str, np.ndarray], attrs: dict[str, Any]
) -> None:
    """Write a pytree of arrays, further named arrays, and attributes.

    The checkpoint that was there moves to `previous_path`.

    Raises
    ------
    StorageError
        If it cannot be written; those that are there stay.
    """
    with writing(path, CHECKPOINT_FORMAT, keep=previous_path(path)) as file:
        write_attrs(file, attrs)
        leaves = file.create_group("leaves")
        for i, leaf in enumerate(jax.tree.leaves(tree)):
            leaves[f"{i:05d}"] = np.asarray(leaf)
        group = file.create_group("arrays")
        for name, array in arrays.items():
            group[name] = array


def read_checkpoint(path: str | Path) -> Checkpoint:
    """A checkpoint, if it is whole.

    Raises
    ------
    ProductError
        If the file is missing or damaged in any of its bytes that matter.
    """
    path = Path(path)
    with reading(path, CHECKPOINT_FORMAT) as file:
        if not check_seal(path):
            raise ValueError("its checksum is missing")
        leaves, arrays = group_in(file, "leaves"), group_in(file, "arrays")
        return Checkpoint(
            path,
            {str(key): _plain(value) for key, value in file.attrs.items()},
            [np.asarray(leaves[name]) for name in sorted(leaves)],
            {str(name): np.asarray(arrays[name]) for name in arrays},
        )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
