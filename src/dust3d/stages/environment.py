"""What the node of the first job has: versions, devices, memory; and that it is what it must be."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from dust3d import runtime
from dust3d.errors import ClusterError
from dust3d.files import write_json
from dust3d.progress import logger
from dust3d.provenance import versions


def check(
    *, found: str | Path, checked: str | Path, expected: Mapping[str, str], source: str
) -> None:
    """Compare the node with the host that submits, compute something, and write what was found.

    Parameters
    ----------
    found
        JSON file of what was found.
    checked
        Empty file, written last, for which other jobs wait.
    expected
        Library -> version on the host that submits.
    source
        Digest of the source that makes the file.

    Raises
    ------
    ClusterError
        If a library has another version here, JAX computes nothing right, or a GPU that was
        promised is not found.
    """
    runtime.configure()
    node, here = platform.node(), versions()
    for name, version in expected.items():
        if here.get(name) != version:
            raise ClusterError(
                f"{node}: {name} {here.get(name)} here, {version} where the run was started: "
                "activate the same environment on all nodes, on a disk that they share"
            )
    runtime.require_given_gpus()
    if float(jnp.sum(jnp.arange(4, dtype=jnp.float64) ** 2)) != 14.0:
        raise ClusterError(f"{node}: JAX adds wrongly; look at its installation there")
    record = _record(node) | {"versions": here, "source_digest": source}
    for key, value in record.items():
        logger.info("%s: %s", key, value)
    write_json(found, record)
    Path(checked).touch()


def _record(node: str) -> dict[str, Any]:
    return {
        "node": node,
        "system": platform.platform(),
        "python": platform.python_version(),
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
        "gpus_given": runtime.given_gpus(),
        "cores": runtime.cores(),
        "memory_gb": round(runtime.memory_limit_bytes() / 1e9, 1),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
    }
