"""Where a product comes from: versions, digests, seed, device.

`source_digest` follows the imports of a module through the package, so that a
workflow rule reruns when, and only when, code that it can reach has changed.
"""

import ast
import hashlib
import json
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGE = "dust3d"
_ROOT = Path(__file__).parent
_VERSIONED = ("dust3d", "numpy", "scipy", "jax", "diffrax", "optax", "astropy", "h5py", "zarr")


def digest_of(content: Any) -> str:
    """SHA-256 of JSON-able content, independent of the order of keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _module_file(name: str) -> Path | None:
    parts = name.split(".")[1:]
    folder = _ROOT.joinpath(*parts)
    for path in (folder.with_suffix(".py") if parts else None, folder / "__init__.py"):
        if path is not None and path.is_file():
            return path
    return None


def _imports(path: Path) -> set[str]:
    """Names of the package's modules that a file imports (absolute imports only)."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == PACKAGE}


@cache
def reachable_modules(module: str) -> tuple[str, ...]:
    """The package's modules that `module` imports, itself and indirect ones included, sorted."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        path = _module_file(name)
        if name in seen or path is None:
            continue
        seen.add(name)
        # the package's own __init__ imports lazily and is not followed
        todo.extend(_imports(path) - {PACKAGE})
        todo.extend(".".join(name.split(".")[:n]) for n in range(2, name.count(".") + 1))
    return tuple(sorted(seen))


@cache
def source_digest(module: str) -> str:
    """Digest of the source of `module` and of all that it imports from the package.

    Raises
    ------
    ModuleNotFoundError
        If there is no such module: a misspelt name would never change.
    """
    if _module_file(module) is None:
        raise ModuleNotFoundError(f"no module is called {module}", name=module)
    total = hashlib.sha256()
    for name in reachable_modules(module):
        path = _module_file(name)
        if path is not None:
            total.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def versions() -> dict[str, str]:
    """Versions of the package and of the libraries that shape its numbers."""
    found = {}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def device_name() -> str:
    """Kind of the device that JAX computes on; `cpu` where JAX has no part in it."""
    jax = sys.modules.get("jax")
    return "cpu" if jax is None else str(jax.devices()[0].device_kind)


def provenance(*, settings: Any, source: str, seed: int) -> dict[str, Any]:
    """What every product carries about its origin.

    Parameters
    ----------
    settings
        The part of the configuration that the product depends on.
    source
        `source_digest` of the stage that makes it.
    seed
        The run's seed.
    """
    return {
        "config_digest": digest_of(settings),
        "source_digest": source,
        "seed": seed,
        "versions": versions(),
        "device": device_name(),
    }
