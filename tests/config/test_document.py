"""config/README.md is made from the models, and says everything about every key."""

from typing import get_args

import pytest

from dust3d.config.base import Section
from dust3d.config.document import readme
from dust3d.config.run import Config
from dust3d.config.tree import bare, is_section, keys_at, section_at, variants


def test_the_readme_does_not_drift(repository):
    written = (repository / "config" / "README.md").read_text(encoding="utf-8")
    assert written == README, "config/README.md is out of date; run `make docs-config`"


def _sections(annotation):
    annotation = bare(annotation)
    if is_section(annotation):
        yield annotation
        for field in annotation.model_fields.values():
            yield from _sections(field.annotation)
    else:
        for argument in variants(annotation) or get_args(annotation):
            yield from _sections(argument)


README = readme()
SECTIONS = sorted(set(_sections(Config)), key=lambda s: s.__name__)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.__name__)
def test_every_key_is_described(section):
    assert section.__doc__
    for key, field in section.model_fields.items():
        assert key == "kind" or field.description.endswith("."), key
        if key != "kind":
            assert field.description.replace("|", "\\|") in README


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.__name__)
def test_every_section_refuses_unknown_keys_and_changes(section):
    assert section.model_config["extra"] == "forbid"
    assert section.model_config["frozen"]


def test_all_models_are_reached(repository):
    import importlib

    for path in (repository / "src" / "dust3d" / "config").glob("*.py"):
        module = importlib.import_module(f"dust3d.config.{path.stem}")
        for value in vars(module).values():
            if is_section(value) and value not in (Section, Config):
                assert any(issubclass(reached, value) for reached in SECTIONS), value


@pytest.mark.parametrize(
    "line",
    [
        "| `half_widths_kpc` | list of number | kpc | **required** | 2 to 3 long, > 0 |",
        "| `fraction` | number |  | `0.1` | > 0, ≤ 0.9 | Share of the stars. |",
        "| `by` | `random`, `healpix` |  | `random` |  |",
        "| `orders` | list of list of integer |  | **required** | not empty, ≥ 1 |",
        "| `missing_motion_mas_per_yr` | number | mas / yr | `100.0` | ≥ 0 |",
        "| `seed` | integer |  | **required** | ≥ 0, ≤ 2147483647 |",
        "### `prior.mean` with `kind: vertical`",
    ],
)
def test_types_units_bounds_and_defaults_are_shown(line):
    assert line in README


@pytest.mark.parametrize(
    ("location", "keys", "section"),
    [
        (("heldout",), ["heldout"], "Heldout"),
        (("mock", "truth", "fourier", "order", 1), ["mock", "truth", "order", 1], None),
        (("mock", "truth", "fourier"), ["mock", "truth"], "FourierTruth"),
        (("mock", "stars", "classes", 0), ["mock", "stars", "classes", 0], "MockClass"),
        (("plots", "marks", 2, "name"), ["plots", "marks", 2, "name"], None),
        (("likelihood", "floor_mag"), ["likelihood", "floor_mag"], "Parameter"),
        (
            ("catalogues", "extinction", "units", "ra"),
            ["catalogues", "extinction", "units", "ra"],
            None,
        ),
        ((), [], "Config"),
        (("nothing", "here"), ["nothing", "here"], None),
    ],
)
def test_locations_are_followed_through_the_models(location, keys, section):
    found = section_at(Config, location)
    assert keys_at(Config, location) == keys
    assert (found.__name__ if found is not None else None) == section
