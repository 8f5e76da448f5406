"""Nothing that dust3d reads can execute code: what could do it is not in the source."""

import ast
from pathlib import Path

import pytest

MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FUNCTIONS = {"eval", "exec", "compile", "__import__", "execfile"}
LOADERS = {"load", "load_all", "full_load", "unsafe_load", "full_load_all", "unsafe_load_all"}
METHODS = {"to_pickle", "read_pickle"}


def code_runners(root: Path) -> list[str]:
    """Places of the source that could execute what a file holds."""
    errors = []
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            what = _runs(node)
            if what:
                errors.append(f"{path.relative_to(root)}:{node.lineno}: {what}")
    return errors


def _runs(node: ast.AST) -> str | None:
    if isinstance(node, ast.Import):
        found = [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        return f"import {found[0]}" if found else None
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
        return f"from {node.module}"
    if not isinstance(node, ast.Call):
        return None
    if any(k.arg == "allow_pickle" and not _is(k.value, False) for k in node.keywords):
        return "allow_pickle"
    called = node.func
    if isinstance(called, ast.Name) and called.id in FUNCTIONS:
        return called.id
    if isinstance(called, ast.Attribute):
        owner = called.value.id if isinstance(called.value, ast.Name) else ""
        if owner == "yaml" and called.attr in LOADERS:
            return f"yaml.{called.attr}"
        if called.attr in METHODS or (owner == "builtins" and called.attr in FUNCTIONS):
            return called.attr
    return None


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_the_source_has_none(repository):
    assert code_runners(repository / "src") == []
    assert code_runners(repository / "workflow") == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import dill as d",
        "from joblib import load",
        "from cloudpickle.x import y",
        "eval('1')",
        "exec(text)",
        "__import__(name)",
        "builtins.eval(text)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "yaml.load(text, Loader)",
        "yaml.unsafe_load(text)",
        "pd.read_pickle(path)",
    ],
)
def test_planted_ones_are_found(tmp_path, line):
    (tmp_path / "a.py").write_text(f"def f():\n    {line}\n")
    assert len(code_runners(tmp_path)) == 1


def test_harmless_ones_pass(tmp_path):
    lines = "re.compile('a')\nnp.load(p, allow_pickle=False)\nyaml.safe_load(t)\njson.load(f)\n"
    (tmp_path / "a.py").write_text(lines)
    assert code_runners(tmp_path) == []
