"""Process-wide settings of JAX (precision, device, compilation cache), and the machine's limits.

Called by stages and the command line before any array is made, never at import.
"""

import os
import sys
from pathlib import Path

# the rest is for the system and for what a prediction does not see
_USABLE = 0.9
# of malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


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
    _keep_freed_memory()
    jax.config.update("jax_enable_x64", True)
    number = cpu_devices or int(os.environ.get("DUST3D_CPU_DEVICES") or 0)
    if number:
        jax.config.update("jax_num_cpu_devices", number)
        # a device that waits for the others holds a thread, and so does one that calls back to the
        # host; XLA has as many as there are cores, unless it reads a number here as it starts
        os.environ.setdefault("NPROC", str(max(2 * number, cores())))
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or cache
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def _keep_freed_memory() -> None:
    """Let the C library keep what it frees, where it is glibc.

    XLA allocates the grids of a step anew each time: pages that went back to the system
    and come again cost a gradient on a fine grid a third of its time.
    """
    import ctypes

    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune is not None:
        for option, size in ((_MMAP_THRESHOLD, 1 << 26), (_TRIM_THRESHOLD, 1 << 29)):
            tune(option, size)


def cores() -> int:
    """Cores that this process may use: those that a cluster gave it, not all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device_name() -> str:
    """Kind of the device that JAX computes on, for the record."""
    import jax

    return str(jax.devices()[0].device_kind)


def resident_bytes() -> float:
    """Memory that this process holds now [bytes]."""
    status = _status()
    return status.get("VmRSS", peak_resident_bytes())


def peak_resident_bytes() -> float:
    """The most memory that this process has held since it was started [bytes].

    The resident set: what lies in RAM, shared libraries included, files that the system
    keeps in its cache not.
    """
    status = _status()
    if "VmHWM" in status:
        # getrusage would begin with the peak of the process that started this one
        return status["VmHWM"]
    import resource

    peak = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return peak if sys.platform == "darwin" else 1024 * peak


def give_back_memory() -> None:
    """Return memory that was freed to the system, where the C library can: glibc keeps it."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def memory_limit_bytes() -> float:
    """Memory that this process may come to hold [bytes]: what is free, and the job's limit."""
    limits = [float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))]
    available = _sizes("/proc/meminfo").get("MemAvailable")
    if available is not None:
        limits.append(available + resident_bytes())
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = Path(path).read_text().strip() if Path(path).is_file() else ""
        if text.isdigit():
            limits.append(float(text))
    node = os.environ.get("SLURM_MEM_PER_NODE", "")
    if node.isdigit() and int(node):
        limits.append(float(node) * 2**20)
    return _USABLE * min(limits)


def _status() -> dict[str, float]:
    return _sizes("/proc/self/status")


def _sizes(path: str) -> dict[str, float]:
    """Entries in kB of a file of the kernel [bytes]; none where there is no such file."""
    if not Path(path).is_file():
        return {}
    rows = (line.split() for line in Path(path).read_text().splitlines())
    return {r[0].rstrip(":"): 1024 * float(r[1]) for r in rows if len(r) == 3 and r[2] == "kB"}
