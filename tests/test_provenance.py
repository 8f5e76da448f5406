import json

import pytest

from dust3d import provenance
from dust3d.provenance import digest_of, file_digest, reachable_modules, source_digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package: stages.fit -> rays.ode -> errors; plots stands apart."""
    files = {
        "__init__.py": "",
        "errors.py": "class E(Exception): ...\n",
        "rays/__init__.py": "",
        "rays/ode.py": "from dust3d.errors import E\n",
        "stages/__init__.py": "",
        "stages/fit.py": "def run():\n    from dust3d.rays import ode\n    return ode\n",
        "plots/__init__.py": "",
        "plots/sky.py": "import dust3d.errors\n",
    }
    for name, text in files.items():
        path = tmp_path / "dust3d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(provenance, "_ROOT", tmp_path / "dust3d")
    for function in (reachable_modules, source_digest):
        function.cache_clear()
    yield tmp_path / "dust3d"
    for function in (reachable_modules, source_digest):
        function.cache_clear()


def _digest(module):
    reachable_modules.cache_clear()
    source_digest.cache_clear()
    return source_digest(module)


def test_imports_are_followed_through_functions_and_folders(package):
    assert set(reachable_modules("dust3d.stages.fit")) == {
        "dust3d.stages",
        "dust3d.stages.fit",
        "dust3d.rays",
        "dust3d.rays.ode",
        "dust3d.errors",
    }


@pytest.mark.parametrize(
    ("edited", "changes"),
    [
        ("rays/ode.py", True),
        ("errors.py", True),
        ("rays/__init__.py", True),
        ("plots/sky.py", False),
    ],
)
def test_an_edit_counts_where_it_can_be_reached(package, edited, changes):
    before = _digest("dust3d.stages.fit")
    with open(package / edited, "a") as file:
        file.write("x = 1\n")
    assert (_digest("dust3d.stages.fit") != before) is changes


def test_a_misspelt_module_has_no_digest(package):
    with pytest.raises(ModuleNotFoundError, match=r"stages\.fitt"):
        _digest("dust3d.stages.fitt")


def test_digests_do_not_depend_on_the_order_of_keys(tmp_path):
    assert digest_of({"a": 1, "b": [2, 3]}) == digest_of({"b": [2, 3], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})
    (tmp_path / "x").write_bytes(b"abc")
    assert file_digest(tmp_path / "x").startswith("ba7816bf")


def test_provenance_is_json_and_names_versions():
    record = provenance.provenance(settings={"box": {"a": (1.0, 2.0)}}, source="abc", seed=4)
    assert json.loads(json.dumps(record)) == record
    assert record["seed"] == 4
    assert record["versions"]["numpy"] != "missing"
