"""Process-wide settings of JAX: precision, device, compilation cache.

Called by stages and the command line before any array is made, never at import.
"""

import os
from pathlib import Path


def configure(*, cache: str | Path | None = None, cpu_devices: int | None = None) -> None:
    """Switch on 64-bit types (arrays choose their own precision) and the compilation cache.

    Threads that wait are told to sleep (`OMP_WAIT_POLICY`, unless it is set).

    Parameters
    ----------
    cache
        Folder for compiled programs, shared by the many short jobs of a run.
        The variable `JAX_COMPILATION_CACHE_DIR` goes before it.
    cpu_devices
        Into how many devices the CPU is divided, among which a fit shares its stars; none: what
        the variable `DUST3D_CPU_DEVICES` says, else one. It must be set before JAX's first use.
    """
    import jax

    # FINUFFT's threads share the cores with JAX's: those that wait must not spin. Read by the
    # OpenMP library as it is loaded, which is later
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    jax.config.update("jax_enable_x64", True)
    number = cpu_devices or int(os.environ.get("DUST3D_CPU_DEVICES") or 0)
    if number:
        jax.config.update("jax_num_cpu_devices", number)
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or cache
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def cores() -> int:
    """Cores that this process may use: those that a cluster gave it, not all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device_name() -> str:
    """Kind of the device that JAX computes on, for the record."""
    import jax

    return str(jax.devices()[0].device_kind)
