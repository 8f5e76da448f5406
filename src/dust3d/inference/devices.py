"""Stars shared out over processes, and the devices of each.

Every device holds the parameters and a share of each batch of stars. The devices of one process
are one to JAX, which sums gradients over them; sums over processes are taken between its
programs. With one process and one device nothing here does anything.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dust3d import processes

AXIS = "stars"


@cache
def star_mesh() -> Mesh | None:
    """All devices of this process along one axis; none if there is only one."""
    devices = jax.local_devices()
    return Mesh(np.asarray(devices), (AXIS,)) if len(devices) > 1 else None


def on_host() -> bool:
    """Whether JAX computes on the CPU, where products with R are scipy's."""
    return jax.default_backend() == "cpu"


def own_rows(rows: np.ndarray) -> np.ndarray:
    """The columns of this process of the rows of each batch, shape (batches, size); -1 fills up."""
    number = processes.number()
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % number)), constant_values=-1)
    return np.split(rows, number, axis=1)[processes.index()]


def summed(tree: Any) -> Any:
    """Sums over processes of what each found, as the devices of this one hold arrays."""
    if processes.number() == 1:
        return tree
    return everywhere(processes.total(tree), star_mesh())


def shares(mesh: Mesh | None) -> int:
    """Into how many shares a batch is cut."""
    return 1 if mesh is None else mesh.size


def even_rows(rows: np.ndarray, mesh: Mesh | None) -> np.ndarray:
    """Rows of each batch, shape (batches, size), filled up with -1 so that shares are equal."""
    fill = -rows.shape[1] % shares(mesh)
    return np.pad(rows, ((0, 0), (0, fill)), constant_values=-1)


def rows_by_device(rows: np.ndarray, mesh: Mesh | None) -> np.ndarray:
    """Rows of each share, those of the first device first: (shares batches, size / shares)."""
    batches, size = rows.shape
    parts = rows.reshape(batches, shares(mesh), size // shares(mesh))
    return np.swapaxes(parts, 0, 1).reshape(-1, parts.shape[2])


def share_out(tree: Any, mesh: Mesh | None, axis: int = 0) -> Any:
    """Arrays with a star along `axis`, each share on its device."""
    if mesh is None:
        return tree
    place = NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))
    return jax.tree.map(lambda a: jax.device_put(a, place), tree)


def everywhere(tree: Any, mesh: Mesh | None) -> Any:
    """Arrays as all devices hold them, so that the first step compiles what the others run."""
    if mesh is None:
        return tree
    place = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda a: jax.device_put(a, place), tree)


def over_devices(
    function: Callable[..., Any], mesh: Mesh | None, common: Any, shared: Any = None
) -> Any:
    """function(common, shared) with a star along the first axis of `shared` and of all results.

    Parameters
    ----------
    function
        From what all devices know and a share of the stars to values of those stars.
    mesh
        The devices.
    common, shared
        Pytrees; what is no array goes along as it is.
    """
    if mesh is None:
        return function(common, shared)
    arrays, rest = eqx.partition((common, shared), eqx.is_array)

    def share(common: Any, shared: Any) -> Any:
        return function(*eqx.combine((common, shared), rest))

    return jax.shard_map(
        share,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(AXIS)),
        out_specs=PartitionSpec(AXIS),
        # host callbacks and custom transposes do not say on which devices they are equal
        check_vma=False,
    )(*arrays)


def stepper(seen: Callable[..., Any], update: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled step of an optimiser, whose sums over stars are taken over processes.

    Parameters
    ----------
    seen
        From parameters and a batch to sums over its stars.
    update
        From parameters, state, sums and further arguments to the next parameters, the next state
        and whatever else.

    Returns
    -------
    A function of parameters, state, further arguments and a batch.
    """
    if processes.number() == 1:

        @eqx.filter_jit
        def step(parameters: Any, state: Any, further: Any, batch: Any) -> Any:
            return update(parameters, state, seen(parameters, *batch), *further)

        return step
    compiled_seen, compiled_update = eqx.filter_jit(seen), eqx.filter_jit(update)

    def shared_step(parameters: Any, state: Any, further: Any, batch: Any) -> Any:
        sums = summed(compiled_seen(parameters, *batch))
        return compiled_update(parameters, state, sums, *further)

    return shared_step
