"""The text of the rules and scripts: nothing left out, nothing in the wrong place."""

import ast
import re

import pytest


@pytest.fixture(scope="module")
def rules(repository):
    """Name -> text of every rule with a script."""
    found = {}
    for path in sorted((repository / "workflow" / "rules").glob("*.smk")):
        for block in re.split(r"^ *rule ", path.read_text(), flags=re.M)[1:]:
            name, _, text = block.partition(":")
            assert name not in found
            found[name] = text
    return found


@pytest.mark.parametrize(
    "part",
    ["log:", "benchmark:", "threads:", "script:"],
)
def test_every_rule_states(rules, part):
    assert [name for name, text in rules.items() if part not in text] == []


def test_every_rule_follows_its_source_and_seed(rules):
    for name, text in rules.items():
        assert re.search(r"source=(source_digest\(\"dust3d\.stages\.|PLOT_SOURCE)", text), name
        assert "seed=CONFIG.seed" in text or name in {"compare", "environment", "samples"}, name


def test_logs_and_benchmarks_are_each_rules_own(rules):
    for part in ("log:", "benchmark:"):
        paths = [re.search(rf"{part}\s+(\S+)", text)[1] for text in rules.values()]
        assert len(set(paths)) == len(paths)


def test_the_script_of_a_rule_has_its_name_and_calls_its_stage(rules, repository):
    scripts = repository / "workflow" / "scripts"
    assert {path.stem for path in scripts.glob("*.py")} == set(rules)
    for name, text in rules.items():
        assert f'"../scripts/{name}.py"' in text
        stage = re.search(r"source_digest\(\"dust3d\.stages\.(\w+)", text)
        body = (scripts / f"{name}.py").read_text()
        assert f"from dust3d.stages import {stage[1] if stage else 'figures'}\n" in body


def test_scripts_are_short_and_make_one_call(repository):
    for path in (repository / "workflow" / "scripts").glob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 25, path.name
        # finds what parsing alone does not, as a keyword that is repeated
        compile(text, path, "exec")
        tree = ast.parse(text)
        stages = [
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "dust3d.stages"
            for alias in node.names
        ]
        calls = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id in stages
        ]
        assert len(calls) == 1, path.name


def test_captions_exist(repository):
    text = (repository / "workflow" / "rules" / "figures.smk").read_text()
    assert "../report/" in text
    report = repository / "workflow" / "report"
    kinds = ["slices", "columns", "spectrum", "residuals", "history", "sky", "modes", "training"]
    kinds += ["uncertainty", "spaghetti", "pit", "sky-std"]
    wanted = [f"fit-{kind}" for kind in kinds] + ["crossmatch", "stars", "comparison", "workflow"]
    wanted += [f"compare-{kind}" for kind in ("slices", "columns", "spectra", "orders")]
    assert [name for name in wanted if not (report / f"{name}.rst").is_file()] == []
