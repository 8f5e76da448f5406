import os
import subprocess
import sys
from pathlib import Path

import pytest

from dust3d.cli.main import main
from dust3d.config.document import readme


def test_check_says_what_a_run_holds(repository, capsys):
    assert main(["check", str(repository / "config" / "test.yaml")]) == 0
    assert "run test (mock), fits: fourier-2x2x1, fourier-3x3x1, mlp-8" in capsys.readouterr().out


def test_a_mistake_is_one_plain_sentence(tmp_path, capsys):
    assert main(["check", str(tmp_path / "none.yaml")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"dust3d: {tmp_path}/none.yaml: no such file; ")
    assert said.count("\n") == 1


def test_the_documentation_is_written(tmp_path):
    assert main(["config-docs", "--output", str(tmp_path / "README.md")]) == 0
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == readme()


def test_the_name_of_a_run(repository, capsys):
    assert main(["name", str(repository / "config" / "config.yaml")]) == 0
    assert capsys.readouterr().out == "demo\n"


def test_the_products_to_look_at_are_those_there(repository, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    figures = tmp_path / "results" / "demo" / "figures"
    figures.mkdir(parents=True)
    (figures / "compare-slices.png").touch()
    (figures.parent / "report.html").touch()
    assert main(["products", str(repository / "config" / "config.yaml")]) == 0
    shown = capsys.readouterr().out
    assert "  results/demo/report.html\n  results/demo/figures/compare-slices.png\n" in shown
    assert "comparison.csv" not in shown


def test_the_products_of_a_run_that_is_not_here(repository, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["products", str(repository / "config" / "config.yaml")]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "results/demo: no such run in" in shown.err
    assert "project's root" in shown.err


@pytest.mark.parametrize("target", ["report", "unlock"])
@pytest.mark.parametrize(
    ("text", "words"), [(None, "mine.yaml: no such file"), ("run: [", "mine.yaml: not readable")]
)
def test_make_stops_with_the_sentence_of_check(
    repository, tmp_path, monkeypatch, capfd, target, text, words
):
    config = tmp_path / "mine.yaml"
    if text is not None:
        config.write_text(text)
    for name in (".venv/bin/snakemake", ".ci/venv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text("#!/bin/sh\n[ $0 = .ci/venv ] || echo snakemake was called >&2\n")
        path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    makefile = ["make", "-f", str(repository / "Makefile"), target, f"CONFIG={config}"]
    assert subprocess.run(makefile).returncode != 0
    said = capfd.readouterr().err
    assert words in said
    assert "snakemake was called" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("arguments", [[], ["nothing"]])
def test_an_unknown_command_is_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert "usage: dust3d" in capsys.readouterr().err


def test_data_are_taken_from_the_named_folder(data_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DUST3D_DATA", str(data_folder))
    target = tmp_path / "data"
    for added in ("6 files added", "0 files added"):
        assert main(["data", "--folder", str(target)]) == 0
        assert f"{target}: complete ({added})" in capsys.readouterr().out
    assert (target / "hipparcos" / "hip2.dat.gz").stat().st_size > 1_000_000
