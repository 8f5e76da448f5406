"""Random numbers: one independent stream for each (seed, purpose).

Naming the purpose means that a new use of randomness never shifts the numbers
of another one.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import jax


def _words(seed: int, purpose: str) -> list[int]:
    digest = hashlib.sha256(f"{seed}:{purpose}".encode()).digest()
    return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]


def generator_for(seed: int, purpose: str) -> np.random.Generator:
    """A NumPy generator for one purpose of a run."""
    return np.random.default_rng(_words(seed, purpose))


def key_for(seed: int, purpose: str) -> "jax.Array":
    """A JAX key for one purpose of a run."""
    import jax

    return jax.random.key(_words(seed, purpose)[0])
