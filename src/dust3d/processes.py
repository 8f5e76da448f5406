"""Several processes that work on one fit: who they are, sums over them, one end for all.

Each process holds its own stars. What is added up over stars is added up over processes, so
that all of them hold the same parameters and decide alike. With one process nothing here does
anything.
"""

import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from dust3d import errors
from dust3d.errors import ConfigError, FitError
from dust3d.interrupts import Interrupted
from dust3d.progress import logger

NUMBER, INDEX, COORDINATOR = "DUST3D_PROCESSES", "DUST3D_PROCESS", "DUST3D_COORDINATOR"
"""Variables that say how many processes there are, which this is, and host:port of the first."""

_AXIS = "processes"
_START_TIMEOUT_S = 300
# a process that was killed is noticed when its connections close, a node that was lost after this
_HEARTBEAT_TIMEOUT_S = 60
_SHUTDOWN_TIMEOUT_S = 10
# of the range that jax takes for Slurm's jobs
_PORTS = (61440, 4096)
_MESSAGE_BYTES = 4096


@dataclass(frozen=True)
class Group:
    """Processes that work together, as one of them sees them.

    Parameters
    ----------
    number, index
        How many there are, and which this is.
    coordinator
        Host and port of the first one.
    neighbours
        How many of them share this machine, itself included.
    devices
        Which of the visible GPUs are this one's; none: all.
    """

    number: int
    index: int
    coordinator: str
    neighbours: int = 1
    devices: tuple[int, ...] | None = None


def described(environment: Mapping[str, str]) -> Group | None:
    """The group that variables describe: ours, else those of a Slurm step; none if it is alone.

    A batch script of several tasks is no step: only what `srun` starts belongs together.

    Raises
    ------
    ConfigError
        If the variables contradict each other or one is missing.
    """
    if environment.get(NUMBER):
        names = (NUMBER, INDEX, COORDINATOR)
        group = _group(environment, names)
    else:
        if not environment.get("SLURM_STEP_NUM_TASKS"):
            return None
        group = _slurm_group(environment)
    return group if group.number > 1 else None


def _group(environment: Mapping[str, str], names: tuple[str, str, str]) -> Group:
    try:
        number, index = int(environment[names[0]]), int(environment[names[1]])
        coordinator = environment[names[2]] if number > 1 else ""
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"{', '.join(names)}: these variables describe the processes of a fit, but {error} is "
            "missing or no whole number; set all three, or none"
        ) from None
    if not 0 <= index < number:
        raise ConfigError(
            f"{names[1]} = {index} must lie between 0 and {number - 1}, as {names[0]} = {number}; "
            "number the processes from 0"
        )
    local = coordinator.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]")
    return Group(number, index, coordinator, number if local else 1)


def _slurm_group(environment: Mapping[str, str]) -> Group:
    """The tasks of a step that `srun` started."""
    names = ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", COORDINATOR)
    nodes = int(environment.get("SLURM_STEP_NUM_NODES", "1"))
    first, ports = _PORTS
    job, step = (int(environment.get(f"SLURM_{name}_ID", "0")) for name in ("JOB", "STEP"))
    # names of nodes need not be known to themselves
    host = "127.0.0.1" if nodes == 1 else _first_host(environment.get("SLURM_STEP_NODELIST", ""))
    named = {COORDINATOR: f"{host}:{first + (job + 31 * step) % ports}"} | dict(environment)
    group = _group(named, names)
    tasks = -(-group.number // nodes)
    return replace(group, neighbours=tasks, devices=_own_gpus(environment, tasks))


def _first_host(nodes: str) -> str:
    """The first of `node001`, `node001,host2`, `node[001-015],host2`, `node[001,007-015]`."""
    found = re.match(r"([^,\[]+)(?:\[([^,\-\]]+))?", nodes)
    if found is None:
        raise ConfigError(
            f"SLURM_STEP_NODELIST = {nodes!r} names no node; set {COORDINATOR} to host:port of the "
            "first process"
        )
    return found[1] + (found[2] or "")


def _own_gpus(environment: Mapping[str, str], tasks: int) -> tuple[int, ...] | None:
    """An equal share of the visible GPUs, if Slurm did not bind them to tasks itself."""
    visible = [name for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if tasks == 1 or len(visible) < tasks:
        return None
    each, local = len(visible) // tasks, int(environment.get("SLURM_LOCALID", "0"))
    return tuple(range(local * each, (local + 1) * each))


_joined: Group | None = None
_over = False


def join() -> None:
    """Meet the other processes of the group, if there is one; before JAX computes anything.

    Raises
    ------
    ConfigError, FitError
        If the variables are wrong, or the processes do not find each other.
    """
    global _joined
    group = described(os.environ)
    if group is None or _joined is not None:
        return
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # it would take SIGTERM for itself
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            group.coordinator,
            group.number,
            group.index,
            local_device_ids=group.devices,
            cluster_detection_method="deactivate",
            initialization_timeout=_START_TIMEOUT_S,
            heartbeat_timeout_seconds=_HEARTBEAT_TIMEOUT_S,
            shutdown_timeout_seconds=_SHUTDOWN_TIMEOUT_S,
        )
    except RuntimeError as error:
        raise FitError(
            f"process {group.index} of {group.number} did not meet the others at "
            f"{group.coordinator} ({str(error).splitlines()[0]}); see that all of them start, and "
            f"set {COORDINATOR} to an address of the first that the others reach"
        ) from None
    _joined = group
    logger.info("process %d of %d, by way of %s", group.index, group.number, group.coordinator)


def number() -> int:
    """How many processes work on this fit."""
    return 1 if _joined is None else _joined.number


def index() -> int:
    """Which of them this is; the first, 0, writes the products."""
    return 0 if _joined is None else _joined.index


def neighbours() -> int:
    """How many of them share this machine and its memory, itself included."""
    return 1 if _joined is None else _joined.neighbours


def total(tree: Any) -> Any:
    """Arrays or numbers added up over processes; all of them must come here alike.

    Returns
    -------
    The sums as arrays of one device, the same bits in every process; with one process what was
    given.

    Raises
    ------
    Dust3dError, SystemExit
        What another process ended with meanwhile.
    """
    if number() == 1:
        return tree
    import jax

    _listen(zlib.crc32(repr(jax.tree.map(_kind, tree)).encode()) & 0x3FFFFFFF)
    return _reduced(tree)


def once(tree: Any) -> Any:
    """What a sum over processes is to count once: itself in the first one, zeros in the others."""
    if index() == 0:
        return tree
    import jax
    import jax.numpy as jnp

    return jax.tree.map(jnp.zeros_like, tree)


def from_first(tree: Any) -> Any:
    """Arrays or numbers as the first process has them."""
    return total(once(tree))


def agreed(value: Any) -> Any:
    """JSON-able content of a few kB, as the first process has it."""
    if number() == 1:
        return value
    _listen(1)
    return _told(value, 0)


def any_of(flag: bool) -> bool:
    """Whether any process says so."""
    return flag if number() == 1 else bool(total(int(flag)))


@contextmanager
def ending_together() -> Iterator[None]:
    """What ends one process with an error ends all of them with the same.

    Raises
    ------
    Exception
        That of the first process that failed; `FitError` if one vanished.
    """
    global _over
    if number() == 1:
        yield
        return
    import jax

    try:
        yield
        _listen(0)
    except jax.errors.JaxRuntimeError as error:
        _over = True
        raise FitError(
            f"process {index()} of {number()} lost another one of this fit, or failed itself "
            f"({str(error).splitlines()[0]}); look for the end of the others, then run again: the "
            "fit goes on from its checkpoint"
        ) from None
    except BaseException as error:
        if not _over:
            _tell(error)
        raise


def _tell(error: BaseException) -> None:
    """Let the others know, where they next meet."""
    global _over
    import jax

    try:
        _listen(-1, error)
    except jax.errors.JaxRuntimeError:
        logger.warning("the other processes of this fit cannot be reached any more")
    finally:
        _over = True


def _listen(code: int, own: BaseException | None = None) -> None:
    """Meet the others; `code` says what for, a negative one that this process ends.

    Each exchange of numbers begins so: one that failed meets the others wherever they are.
    """
    global _over
    import numpy as np

    codes = np.zeros(number(), np.int64)
    codes[index()] = code
    codes = np.asarray(_reduced(codes))
    if codes.min() >= 0 and codes.min() == codes.max():
        return
    _over = True
    if codes.min() >= 0:
        raise FitError(
            "the processes of this fit went different ways; start them alike (same configuration, "
            "files, kind of machine), then run again: the fit goes on from its checkpoint"
        )
    first = int(np.argmax(codes < 0))
    ending = _told(_ending(own) if own is not None else {}, first)
    if first != index():
        logger.error("process %d of %d failed, so all end", first, number())
        raise _error_of(ending)


def _ending(error: BaseException) -> dict[str, Any]:
    """What another process needs to end alike."""
    code = error.code if isinstance(error, SystemExit) else None
    clear = isinstance(error, errors.Dust3dError | Interrupted)
    text = str(error) if clear else f"{type(error).__name__}: {error}"
    return {"kind": type(error).__name__, "text": text[: _MESSAGE_BYTES // 8], "code": code}


def _error_of(ending: dict[str, Any]) -> BaseException:
    if ending["kind"] == "SystemExit":
        return SystemExit(ending["code"])
    if ending["kind"] == "Interrupted":
        return Interrupted(ending["text"])
    known = getattr(errors, ending["kind"], FitError)
    return known(ending["text"])


def _told(value: Any, by: int) -> Any:
    """JSON-able content of one process, in all of them."""
    import numpy as np

    content = np.zeros(_MESSAGE_BYTES, np.int32)
    if by == index():
        text = json.dumps(value).encode()
        if len(text) > _MESSAGE_BYTES:
            raise ValueError(f"{len(text)} bytes are more than processes tell each other at once")
        content[: len(text)] = np.frombuffer(text, np.uint8)
    found = np.asarray(_reduced(content)).astype(np.uint8).tobytes()
    return json.loads(found.rstrip(b"\0"))


def _kind(leaf: Any) -> tuple[tuple[int, ...], str]:
    import numpy as np

    return np.shape(leaf), str(leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype)


@cache
def _everyone() -> Any:
    """One device of each process, in their order."""
    import jax
    import numpy as np

    first: dict[int, Any] = {}
    for device in jax.devices():
        first.setdefault(device.process_index, device)
    return jax.sharding.Mesh(np.asarray([first[i] for i in sorted(first)]), (_AXIS,))


@cache
def _sum() -> Any:
    """The program that adds up the rows of arrays, one row from each process."""
    import jax
    from jax.sharding import NamedSharding, PartitionSpec

    everywhere = NamedSharding(_everyone(), PartitionSpec())
    return jax.jit(
        lambda tree: jax.tree.map(lambda a: a.sum(axis=0, dtype=a.dtype), tree),
        out_shardings=everywhere,
    )


def _row(leaf: Any) -> Any:
    """The row of this process, of an array with a row from each."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import NamedSharding, PartitionSpec

    here = leaf.addressable_data(0) if isinstance(leaf, jax.Array) else jnp.asarray(leaf)
    mesh = _everyone()
    row = jax.device_put(here[None], mesh.devices[index()])
    place = NamedSharding(mesh, PartitionSpec(_AXIS))
    return jax.make_array_from_single_device_arrays((number(), *here.shape), place, [row])


def _reduced(tree: Any) -> Any:
    import jax

    sums = _sum()(jax.tree.map(_row, tree))
    # sums that wait for each other in different orders would wait for ever
    return jax.block_until_ready(jax.tree.map(lambda a: a.addressable_data(0), sums))
