"""What has changed since a checkpoint was written."""

from collections.abc import Mapping
from typing import Any

_MOST_NAMED = 5
_NAMES = {
    "source": "the program",
    "seed": "seed",
    "train": "the training stars",
    "heldout": "the held-out stars",
    "start": "the fit that it starts from",
}


def _flat(content: Any, key: str = "") -> dict[str, Any]:
    """Nested mappings as one, with keys such as `optimiser.newton.max_steps`."""
    if not isinstance(content, Mapping):
        return {key: content}
    prefix = f"{key}." if key else ""
    parts = [_flat(value, f"{prefix}{name}") for name, value in content.items()]
    return {name: value for part in parts for name, value in part.items()}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between two fits, in words.

    Parameters
    ----------
    before, now
        JSON-able: `settings`, and digests or numbers under the keys of `_NAMES`.
    """
    named = [name for key, name in _NAMES.items() if before.get(key) != now.get(key)]
    old, new = _flat(before.get("settings", {})), _flat(now.get("settings", {}))
    for key in sorted(old.keys() | new.keys()):
        if key not in old or key not in new:
            named.append(f"{key} {'came' if key in new else 'went'}")
        elif old[key] != new[key]:
            named.append(f"{key} was {old[key]} and is {new[key]}")
    more = len(named) - _MOST_NAMED
    rest = [f"{more} more"] if more > 0 else []
    return ", ".join(named[:_MOST_NAMED] + rest)
