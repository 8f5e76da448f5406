"""The floors of the house, read from the syntax trees; each check is proven by a planted error."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

# a module imports only from floors above its own; `/` parts neighbours that do not know each other
FLOORS = [
    "errors",
    "conventions",
    "config",
    "claims / interrupts",
    "keys / coords / provenance / files",
    "progress / runtime / determinism / cluster",
    "processes",
    "launch",
    "transforms / splines / observations",
    "fields / photometry",
    "rays / io",
    "inference",
    "mock / crossmatch",
    "maps / stars",
    "scores",
    "calibration",
    "plots",
    "stages",
    "cli",
]
FLOOR = {name.strip(): level for level, line in enumerate(FLOORS) for name in line.split("/")}
# library -> the rooms that may use it
ONLY_IN = {
    "matplotlib": {"plots"},
    "h5py": {"io", "exports"},
    "zarr": {"io", "exports"},
    "snakemake": set(),
}
WITHOUT_ASTROPY = {"fields", "transforms", "rays", "inference"}
EXECUTABLE = {"stages", "cli"}


def _room(path: Path, root: Path) -> str:
    """Top-level name of a module inside the package; the package's own file is `dust3d`."""
    first = path.relative_to(root).parts[0]
    return "dust3d" if first == "__init__.py" else first.removesuffix(".py")


def _imported(tree: ast.AST) -> list[tuple[int, str]]:
    """Line and full name of everything imported, also inside functions."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found += [(node.lineno, f"{module}.{alias.name}") for alias in node.names]
    return found


def floor_errors(root: Path) -> list[str]:
    """Imports that go down, or to a neighbour, or to a library that belongs elsewhere."""
    errors = []
    for path in sorted(root.rglob("*.py")):
        room = _room(path, root)
        for line, name in _imported(ast.parse(path.read_text())):
            where = f"{path.relative_to(root)}:{line}"
            parts = name.split(".")
            if name.startswith("."):
                errors.append(f"{where}: relative import {name}")
            elif parts[0] == "dust3d" and room != "dust3d":
                errors += _room_error(where, room, parts)
            elif parts[0] in ONLY_IN and room not in ONLY_IN[parts[0]]:
                errors.append(f"{where}: {parts[0]} does not belong into {room}")
            elif parts[0] == "astropy" and room in WITHOUT_ASTROPY:
                errors.append(f"{where}: astropy does not belong into {room}")
            elif name.startswith("__future__."):
                errors.append(f"{where}: {name}")
    return errors


def _room_error(where: str, room: str, parts: list[str]) -> list[str]:
    other = parts[1] if len(parts) > 1 else ""
    if other == room or (other not in FLOOR and room in FLOOR):
        return []
    if room not in FLOOR:
        return [f"{where}: {room} stands on no floor; give it one in FLOORS"]
    if FLOOR[other] < FLOOR[room]:
        return []
    return [f"{where}: {room} imports {other}, which is not above it"]


def docstring_errors(root: Path) -> list[str]:
    """Public modules, functions, classes and methods without a docstring."""
    errors = []
    for path in sorted(root.rglob("*.py")):
        tree = ast.parse(path.read_text())
        if not ast.get_docstring(tree):
            errors.append(f"{path.relative_to(root)}: module")
        owners: list[ast.Module | ast.ClassDef] = [tree]
        owners += [n for n in tree.body if isinstance(n, ast.ClassDef) and _public(n)]
        for owner in owners:
            for node in owner.body:
                known = isinstance(node, ast.FunctionDef | ast.ClassDef)
                if known and _public(node) and not ast.get_docstring(node):
                    errors.append(f"{path.relative_to(root)}:{node.lineno}: {node.name}")
    return errors


def _public(node: ast.FunctionDef | ast.ClassDef) -> bool:
    # an overload's or a setter's docstring is that of the function
    return not node.name.startswith("_") and not any(
        isinstance(d, ast.Name) and d.id == "overload" for d in node.decorator_list
    )


def length_errors(root: Path, most: int = 450) -> list[str]:
    """Files that hold more than one concept, by their length."""
    return [
        f"{path.relative_to(root)}: {lines} lines"
        for path in sorted(root.rglob("*.py"))
        if (lines := len(path.read_text().splitlines())) > most
    ]


@pytest.fixture
def package(repository):
    return repository / "src" / "dust3d"


@pytest.mark.parametrize("check", [floor_errors, docstring_errors, length_errors])
def test_the_house_is_in_order(check, package):
    assert check(package) == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rays/a.py", "import dust3d.stages.fit\n", "rays imports stages"),
        ("fields/a.py", "from dust3d.photometry import laws\n", "fields imports photometry"),
        ("fields/a.py", "def f():\n    from dust3d import rays\n", "fields imports rays"),
        ("errors.py", "from dust3d.config.run import load\n", "errors imports config"),
        ("attic/a.py", "from dust3d.errors import Dust3dError\n", "attic stands on no floor"),
        ("rays/a.py", "from . import ode\n", "relative import"),
        ("rays/a.py", "from ..errors import E\n", "relative import"),
        ("rays/a.py", "from astropy import units\n", "astropy does not belong into rays"),
        ("maps/a.py", "import matplotlib.pyplot as plt\n", "matplotlib does not belong into maps"),
        ("maps/a.py", "def f():\n    import h5py\n", "h5py does not belong into maps"),
        ("stages/a.py", "import zarr\n", "zarr does not belong into stages"),
        ("stages/a.py", "from snakemake.utils import x\n", "snakemake does not belong"),
        ("maps/a.py", "from __future__ import annotations\n", "__future__"),
    ],
)
def test_planted_imports_are_found(tmp_path, name, text, message):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert len(floor_errors(tmp_path)) == 1
    assert message in floor_errors(tmp_path)[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rays/a.py", "from dust3d.fields.base import Field\nfrom dust3d.rays import b\n"),
        ("stages/a.py", "from dust3d import runtime\nimport dust3d\n"),
        ("io/a.py", "import h5py, zarr\nfrom astropy.table import QTable\n"),
        ("plots/a.py", "import matplotlib\nfrom dust3d.io.maps import read_map\n"),
    ],
)
def test_imports_from_above_are_fine(tmp_path, name, text):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert floor_errors(tmp_path) == []


def test_planted_lacks_are_found(tmp_path):
    (tmp_path / "a.py").write_text(
        '"""Module."""\n\n\ndef bare():\n    pass\n\n\nclass Bare:\n'
        '    """Fine."""\n\n    def method(self):\n        pass\n\n'
        "    def _own(self):\n        pass\n"
    )
    assert [e.split(": ")[1] for e in docstring_errors(tmp_path)] == ["bare", "method"]
    (tmp_path / "long.py").write_text("x = 1\n" * 451)
    assert length_errors(tmp_path) == ["long.py: 451 lines"]


def test_importing_the_package_is_quick_and_light():
    code = (
        "import sys, time\n"
        "start = time.perf_counter()\n"
        "import dust3d\n"
        "assert time.perf_counter() - start < 1.0\n"
        "dust3d.open_map, dust3d.__version__\n"
        "heavy = {'jax', 'matplotlib', 'numpy', 'astropy', 'h5py'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_any_module_sets_nothing_and_draws_nothing(package):
    """x64, devices and threads are set by stages and the command line, never at import."""
    modules = [
        "dust3d." + ".".join(path.relative_to(package).with_suffix("").parts)
        for path in sorted(package.rglob("*.py"))
        if path.name != "__init__.py"
    ]
    code = (
        "import importlib, os, sys\n"
        "before = dict(os.environ)\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        "import jax\n"
        "assert not jax.config.jax_enable_x64\n"
        "assert dict(os.environ) == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules or not sys.modules['matplotlib.pyplot']"
        ".get_fignums()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_shapes_and_types_are_checked_here():
    """The hook of conftest.py is on: a wrong type and a wrong shape are refused."""
    import jax.numpy as jnp

    from dust3d.coords import directions
    from dust3d.fields.mean import ConstantMean

    with pytest.raises(Exception, match="Type-check error"):
        directions("ten", "twenty")
    with pytest.raises(Exception, match="Type-check error"):
        ConstantMean(jnp.float64(0.0)).at(jnp.zeros(3))


@pytest.mark.parametrize("listed", [False, True])
def test_a_silent_skip_fails_under_ci(pytester_folder, listed):
    """The rule of conftest.py, on a planted skip."""
    folder = pytester_folder
    if listed:
        (folder / "allowed_skips.txt").write_text("*test_planted.py::test_skips planted reason\n")
    done = _pytest(folder, {"CI": "true"})
    assert (done.returncode == 0) is listed, done.stdout
    assert ("was skipped under CI" in done.stdout) is not listed
    assert _pytest(folder, {"CI": ""}).returncode == 0


@pytest.fixture
def pytester_folder(tmp_path, repository):
    folder = tmp_path / "tests"
    folder.mkdir()
    for name in ("conftest.py", "allowed_skips.txt"):
        (folder / name).write_text((repository / "tests" / name).read_text())
    (folder / "test_planted.py").write_text(
        "import pytest\n\n\ndef test_runs():\n    pass\n\n\ndef test_skips():\n"
        "    pytest.skip('planted')\n"
    )
    return folder


def _pytest(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess:
    import os

    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", str(folder)],
        cwd=folder.parent,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
