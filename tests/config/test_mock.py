"""Stars of a mock that a table has: what the configuration asks for, and says if it is missing."""

import pytest
import yaml

from dust3d.config.run import load, parse
from dust3d.errors import ConfigError


@pytest.fixture
def content(repository):
    return yaml.safe_load((repository / "config/mocks/twin.yaml").read_text())


def test_tables_that_are_missing_are_named_with_what_makes_them(content, tmp_path):
    there = tmp_path / "train.h5"
    there.touch()
    missing = str(tmp_path / "heldout.h5")
    content["mock"]["stars"]["placement"]["paths"] = [str(there), missing]
    config = parse(content)
    assert config.star_tables() == [str(there), missing]
    (sentence,) = config.missing_files()
    assert sentence.startswith(f"mock.stars.placement.paths: no such file: {missing}; the run")
    assert sentence.endswith(f"snakemake --cores all --configfile FILE {missing}")


def test_other_placements_need_no_table(repository):
    config = load(repository / "config/mocks/bubble.yaml")
    assert config.star_tables() == []
    assert config.missing_files() == []


def test_classes_of_a_table_are_not_known_beforehand(content):
    content["selection"]["classes"] = ["A0-4"]
    assert parse(content).selection.classes == ("A0-4",)


def test_a_flat_box_and_a_wrong_digest_are_refused(content):
    flat = content | {
        "box": {"half_widths_kpc": [0.75, 0.75]},
        "map": {"cells": [60, 60]},
        "fits": {"fourier": {"orders": [[5, 5]]}},
    }
    flat["mock"] = flat["mock"] | {"truth": {"kind": "uniform", "density_mag_per_kpc": 1.0}}
    with pytest.raises(ConfigError, match=r"not in the Galactic plane; give box.half_widths_kpc"):
        parse(flat)
    content["mock"]["truth_digest"] = "not hexadecimal"
    with pytest.raises(ConfigError, match=r"mock.truth_digest"):
        parse(content)


def test_only_a_table_knows_the_number_of_stars(content):
    del content["mock"]["stars"]["placement"]
    with pytest.raises(ConfigError, match="number is missing"):
        parse(content)
