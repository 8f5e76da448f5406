"""Whether the same numbers must come out to the bit: asked by whatever would rather be fast.

What adds numbers up in an order of its own (threads of FINUFFT, atomic additions on a GPU) takes a
fixed one where this is on. Sums over rows of R and XLA's on a CPU always do, for a number of cores.
"""

import os

_GPU_FLAG = "--xla_gpu_deterministic_ops=true"
_on = False


def set_deterministic(on: bool) -> None:
    """Switch for this process, before JAX computes anything: programs keep what they began with.

    On a GPU XLA takes deterministic operations, and chooses none of them by its speed.
    """
    global _on
    _on = on
    flags = os.environ.get("XLA_FLAGS", "").split()
    others = [flag for flag in flags if flag != _GPU_FLAG]
    wanted = [*others, _GPU_FLAG] if on else others
    if wanted != flags:
        os.environ["XLA_FLAGS"] = " ".join(wanted)


def is_deterministic() -> bool:
    """Whether sums must keep one order, for the same bits from run to run."""
    return _on
