"""Whether a fit was asked to end: all of its processes, or none."""

from dust3d import interrupts, processes


def asked_to_stop() -> bool:
    """Whether any process of this fit was; all of them must come here alike."""
    asked = processes.any_of(interrupts.asked())
    if asked:
        interrupts.ask("SIGTERM")
    return asked
