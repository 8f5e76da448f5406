"""Process-wide settings of JAX (precision, device, compilation cache), and the machine's limits.

Called by stages and the command line before any array is made, never at import.
"""

import logging
import os
import sys
from pathlib import Path

from dust3d.errors import ClusterError

logger = logging.getLogger("dust3d")

# set by the workflow from `allow_cpu` of the configuration: no parameter of any job
ALLOW_CPU = "DUST3D_ALLOW_CPU"
# memory that Slurm was asked for [MB, of 2^20 bytes as Slurm counts], noted by a job for its fit
MEMORY_MB = "DUST3D_MEMORY_MB"
# set by the workflow where it was started: versions there, for jobs on other nodes to compare
HOST_VERSIONS = "DUST3D_HOST_VERSIONS"
# the rest is for the system and for what a prediction does not see
_USABLE = 0.9
# of malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_CGROUP, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def configure(*, cache: str | Path | None = None, cpu_devices: int | None = None) -> None:
    """Switch on 64-bit types (arrays choose their own precision) and the compilation cache.

    Threads that wait are told to sleep (`OMP_WAIT_POLICY`, unless it is set). In a job of Slurm
    JAX gets as many threads as the job has CPUs, and no GPU that the job was not given. Memory of
    a GPU is taken as it is needed (`XLA_PYTHON_CLIENT_PREALLOCATE`, unless it is set).

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
    # another job, or a person, may share the GPU; a job that has it alone loses little
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    _keep_to_allocation()
    jax.config.update("jax_enable_x64", True)
    # on GPUs products of matrices in single precision would keep three digits
    jax.config.update("jax_default_matmul_precision", "highest")
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


def _keep_to_allocation() -> None:
    """Hold JAX to the CPUs and GPUs of the job, where the cluster does not do so itself."""
    import jax

    gpus = given_gpus()
    if gpus is None:
        return
    # read by XLA and by the OpenMP library as they start
    os.environ.setdefault("NPROC", str(cores()))
    os.environ.setdefault("OMP_NUM_THREADS", str(cores()))
    if gpus == 0 and "JAX_PLATFORMS" not in os.environ:
        jax.config.update("jax_platforms", "cpu")


def given_gpus() -> int | None:
    """GPUs that Slurm gave this job on its node; none outside a job of Slurm."""
    if "SLURM_JOB_ID" not in os.environ:
        return None
    count = os.environ.get("SLURM_GPUS_ON_NODE", "")
    if count.isdigit():
        return int(count)
    for name in ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS"):
        if os.environ.get(name):
            return os.environ[name].count(",") + 1
    return 0


def require_given_gpus() -> None:
    """Look whether JAX finds a GPU where this job was promised one. Starts JAX's devices.

    Raises
    ------
    ClusterError
        If it finds none, unless the configuration has `allow_cpu: true`.
    """
    import jax

    gpus = given_gpus()
    if not gpus or any(device.platform != "cpu" for device in jax.devices()):
        return
    lack = (
        f"this job was given {gpus} GPU{'s' if gpus > 1 else ''} on {os.uname().nodename} "
        "(by Slurm), but JAX finds none"
    )
    if os.environ.get(ALLOW_CPU) == "1":
        logger.warning("%s; going on with the CPU (allow_cpu: true)", lack)
        return
    raise ClusterError(
        f'{lack}: install JAX for GPUs (pip install -e ".[cuda]") and look at the node\'s driver '
        "(nvidia-smi), or set `allow_cpu: true` in the configuration to compute on the CPU"
    )


def cores() -> int:
    """Cores that this process may use: those that a cluster gave it, not all there are."""
    found = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        found = len(os.sched_getaffinity(0))
    # where Slurm does not bind processes to cores, its word alone says how many
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(found, int(given)) if given.isdigit() and int(given) else found


def device_name() -> str:
    """Kind of the device that JAX computes on, for the record.

    Raises
    ------
    ClusterError
        As `require_given_gpus`.
    """
    import jax

    require_given_gpus()
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


def memory_limit_bytes(*, steady: bool = False) -> float:
    """Memory that this process may come to hold [bytes]: what is free, and the job's limit.

    If `steady`, what others happen to hold now is not looked at.
    """
    limits = [float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))]
    available = _sizes("/proc/meminfo").get("MemAvailable")
    if available is not None and not steady:
        limits.append(available + resident_bytes())
    limits += _cgroup_limits()
    for name in ("SLURM_MEM_PER_NODE", MEMORY_MB):
        given = os.environ.get(name, "")
        if given.isdigit() and int(given):
            limits.append(float(given) * 2**20)
    return _USABLE * min(limits)


def hold_to_memory(mem_mb: int | None) -> None:
    """Note what the workflow asked Slurm for, in a job of Slurm: elsewhere nobody holds it to that.

    Snakemake's executor takes Slurm's own variables out of a job's environment.
    """
    if mem_mb and "SLURM_JOB_ID" in os.environ:
        os.environ[MEMORY_MB] = str(mem_mb)


def _cgroup_limits() -> list[float]:
    """Limits of memory of this process's control group and of all that it lies in [bytes]."""
    files = {_CGROUPS / "memory.max", _CGROUPS / "memory" / "memory.limit_in_bytes"}
    for line in _CGROUP.read_text().splitlines() if _CGROUP.is_file() else ():
        _, controllers, path = line.split(":", 2)
        folder = Path(path.lstrip("/"))
        # version 2 has one tree, version 1 one for each controller
        if controllers == "":
            files |= {_CGROUPS / up / "memory.max" for up in (folder, *folder.parents)}
        elif "memory" in controllers.split(","):
            tree = _CGROUPS / "memory"
            files |= {tree / up / "memory.limit_in_bytes" for up in (folder, *folder.parents)}
    texts = [path.read_text().strip() for path in files if path.is_file()]
    return [float(text) for text in texts if text.isdigit()]


def _status() -> dict[str, float]:
    return _sizes("/proc/self/status")


def _sizes(path: str) -> dict[str, float]:
    """Entries in kB of a file of the kernel [bytes]; none where there is no such file."""
    if not Path(path).is_file():
        return {}
    rows = (line.split() for line in Path(path).read_text().splitlines())
    return {r[0].rstrip(":"): 1024 * float(r[1]) for r in rows if len(r) == 3 and r[2] == "kB"}
