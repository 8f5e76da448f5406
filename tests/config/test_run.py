"""Configurations that are refused, each with its key and the remedy."""

import copy

import pytest
import yaml

from dust3d.config.run import Config, load, parse
from dust3d.errors import ConfigError

MOCK = {
    "run": "small",
    "seed": 1,
    "box": {"half_widths_kpc": [1.0, 1.0, 0.2]},
    "mock": {
        "truth": {"kind": "fourier", "order": [6, 6, 2]},
        "stars": {"number": 100},
    },
    "fits": {
        "fourier": {"orders": [[2, 2, 1], [4, 4, 1]]},
        "mlp": {"layers": [[8, 8]]},
    },
    "map": {"cells": [8, 8, 4]},
}


def _with(changes):
    config = copy.deepcopy(MOCK)
    for path, value in changes.items():
        *parents, last = path.split(".")
        section = config
        for name in parents:
            section = section.setdefault(name, {})
        section[last] = value
    return config


@pytest.mark.parametrize("name", ["config", "test", "hipparcos", "original", "original_sgd", "sbc"])
def test_the_projects_own_configurations_are_right(repository, name):
    config = load(repository / "config" / f"{name}.yaml")
    assert config.run == ("demo" if name == "config" else name)
    for fit in config.fit_names():
        assert config.fit_settings(fit)


def test_the_demo_has_what_it_must_show(repository):
    demo = load(repository / "config" / "config.yaml")
    highest = demo.fits.fourier.orders[-1]
    assert len(demo.fits.fourier.orders) >= 3
    assert demo.fits.mlp.layers
    assert demo.mock.truth.kind == "fourier"
    assert demo.mock.truth.slope == 1.8
    assert all(t >= 1.5 * m for t, m in zip(demo.mock.truth.order, highest, strict=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heldout.fracton": 0.1}, r"heldout\.fracton: unknown key; did you mean `fraction`\?"),
        ({"box.half_widths_pc": [1]}, r"box\.half_widths_pc: unknown key.*`half_widths_kpc`"),
        ({"xyz": 1}, r"  xyz: unknown key; known here: .*box"),
        ({"mock.truth.ordr": [1]}, r"mock\.truth\.ordr: unknown key; did you mean `order`\?"),
        ({"mock.truth": {"order": [1, 1, 1]}}, r"mock\.truth: its key `kind` is missing"),
        ({"mock.truth.kind": "lumpy"}, r"mock\.truth: kind: 'lumpy' is none of 'fourier'"),
        ({"heldout.fraction": 1.5}, r"heldout\.fraction: .*or equal to 0\.9 \(given: 1\.5\)"),
        ({"heldout.fraction": "most"}, r"heldout\.fraction: .*number.*\(given: 'most'\)"),
        ({"prior.std": float("nan")}, r"prior\.std: "),
        ({"box.half_widths_kpc": [1.0, -1.0, 0.2]}, r"box\.half_widths_kpc\[1\]: .*greater than 0"),
        ({"box.half_widths_kpc": [1.0]}, r"box\.half_widths_kpc: .*at least 2 items"),
        ({"seed": -1}, r"seed: .*greater than or equal to 0"),
        ({"run": "../elsewhere"}, r"run: use letters, digits.*\(given: '\.\./elsewhere'\)"),
        ({"run": "my run"}, r"run: .*no blanks"),
        (
            {"mock.extinction.noise_mag": "0.05 mag"},
            r"noise_mag: this is no number: give the number alone, its unit is part of the key",
        ),
        ({"mock.stars.number": "many"}, r"mock\.stars\.number: this is no whole number \(given"),
        ({"mock.stars.number": 99}, r"mock\.stars\.number = 99 is too few.*100 or more"),
        ({"fits.fourier.orders": []}, r"fits\.fourier\.orders: is empty and needs at least 1 item"),
        ({"fits.fourier.orders": 4}, r"fits\.fourier\.orders: this is no list"),
        ({"fits.fourier.orders": [[900, 900, 400]]}, r"orders\[0\] asks for a grid of .*lower it"),
        (
            {"rays.production.oversampling": 8, "fits.fourier.orders": [[100, 100, 100]]},
            r"orders\[0\] asks for a grid of 4\.1e\+09 cells",
        ),
        ({"map.cells": [2000, 2000, 2000]}, r"map\.cells asks for a grid of 8e\+09 cells"),
        ({"mock.truth.order": [900, 900, 400]}, r"mock\.truth\.order asks for a grid"),
        (
            {"selection.max_distance_kpc": 1.5},
            r"selection\.max_distance_kpc = 1\.5 is beyond the corners .*1\.43 kpc",
        ),
        (
            {"fits.fourier.orders": [[4, 4, 1], [2, 2, 1]]},
            r"fits\.fourier: orders must rise on every axis, but \[2, 2, 1\] follows \[4, 4, 1\]",
        ),
        ({"fits.fourier.orders": [[4, 4, 1], [4, 4, 1]]}, r"orders must rise"),
        ({"fits.fourier.orders": [[4, 4], [8, 8]]}, r"orders\[0\] has 2 entries.*one entry per"),
        ({"fits.fourier.orders": [[4, 0, 1]]}, r"orders\[0\]\[1\]: .*greater than or equal to 1"),
        ({"map.cells": [8, 8]}, r"map\.cells has 2 entries"),
        (
            {"mock.stars.placement": {"kind": "uniform", "extent": 0.95}},
            r"mock\.stars\.placement\.extent = 0\.95 puts stars outside",
        ),
        (
            {"mock.stars.classes": [{"name": "A", "fraction": 0.4}]},
            r"mock\.stars: the fractions of the classes sum to 0\.4; make them sum to 1",
        ),
        ({"selection.classes": ["Q"]}, r"selection\.classes: no mock star is of class 'Q'"),
        ({"mock": None}, r"  give `mock` .*or `catalogues` \(real stars\)\n"),
        (
            {"prior.mean": {"kind": "vertical", "knots_kpc": [0.1, 0.2, 0.3]}},
            r"prior\.mean: knots_kpc must start at 0 and rise",
        ),
        ({"fits.mlp.layers": [[8], [8]]}, r"fits\.mlp: two networks have the layers \[8\]"),
        (
            {"mock.stars.placement": {"kind": "disc", "hight": 1}},
            r"mock\.stars\.placement\.hight: unknown key",
        ),
        ({"plots.slices_kpc": [0.5]}, r"plots\.slices_kpc: 0\.5 is outside the box"),
        ({"map.cells": [8, 8, 3]}, r"map\.cells\[2\]: .*or equal to 4 \(given: 3\)"),
        ({"scores.box_fraction": 0}, r"scores\.box_fraction: .*or equal to 0\.1 \(given: 0\)"),
        ({"plots.colour_map": "jet"}, r"plots\.colour_map: .*'viridis'.*\(given: 'jet'\)"),
        (
            {"plots.animation": True, "optimiser.snapshots": 1},
            r"plots\.animation: .*optimiser\.snapshots = 1; raise it to 2",
        ),
        (
            {"mock.catalogues.double_separation_arcsec": [3.0, 0.3]},
            r"double_separation_arcsec: the range falls from 3 to 0\.3; give the smaller end first",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_key(changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse(_with(changes), "mine.yaml")
    assert str(caught.value).startswith("mine.yaml: ")
    assert "config/README.md" in str(caught.value)


def test_all_mistakes_are_listed_at_once():
    with pytest.raises(ConfigError) as caught:
        parse(_with({"sed": 1, "heldout.fraction": 2, "map.cell": [1]}))
    for key in ("sed", "heldout.fraction", "map.cell"):
        assert f"  {key}: " in str(caught.value)


def test_a_vertical_mean_needs_three_dimensions():
    flat = _with(
        {
            "box.half_widths_kpc": [1.0, 1.0],
            "mock.truth.order": [4, 4],
            "fits.fourier.orders": [[2, 2]],
            "map.cells": [8, 8],
        }
    )
    assert parse(flat).box.ndim == 2
    flat["prior"] = {"mean": {"kind": "vertical"}}
    with pytest.raises(ConfigError, match=r"prior\.mean: a vertical profile needs a 3-D box"):
        parse(flat)


@pytest.mark.parametrize("part", ["clouds", "filaments"])
@pytest.mark.parametrize("key", ["peak_ratio", "radius_kpc", "length_kpc"])
def test_ranges_rise(part, key):
    truth = {"kind": "structured", part: {key: [0.3, 0.3]}}
    parse(_with({"mock.truth": truth}))
    truth[part][key] = [0.3, 0.2]
    with pytest.raises(ConfigError, match=rf"mock\.truth\.{part}\.{key}: the range falls"):
        parse(_with({"mock.truth": truth}))


ORIGINAL = {
    "kind": "original",
    "stages": [
        {
            "order": order,
            "epochs": 1,
            "learning_rate": [1e-3, 1e-4],
            "drops": 1,
            "log10_weight": [-1.0, -1.5],
            "gamma": [3.6, 1.8],
        }
        for order in MOCK["fits"]["fourier"]["orders"]
    ],
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"fits.fourier.form": "amplitude_phase"},
            r"fits\.fourier\.form: .*would ignore amplitude_phase; use form: cos_sin",
        ),
        (
            {"prior.mean": {"kind": "vertical"}},
            r"prior\.mean: .*would ignore a vertical profile; use kind: constant",
        ),
    ],
)
def test_the_original_refuses_what_it_would_ignore(changes, message):
    parse(_with({"optimiser.method": ORIGINAL}))
    parse(_with(changes))
    with pytest.raises(ConfigError, match=message):
        parse(_with({"optimiser.method": ORIGINAL} | changes))


REAL = {
    "astrometry": {"path": "gaia.fits", "epoch_yr": 2016.0},
    "extinction": {"path": "hip.csv", "epoch_yr": 1991.25},
}


def test_stars_come_from_one_source():
    with pytest.raises(ConfigError, match="not both; leave one"):
        parse(_with({"catalogues": REAL, "selection.max_distance_kpc": 0.1}))


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({}, r"selection\.max_distance_kpc is missing"),
        ({"max_distance_kpc": 0.5}, r"too close to the box's faces.*at least 0\.75"),
    ],
)
def test_real_stars_stay_inside_the_box(selection, message):
    config = _with({"catalogues": REAL, "selection": selection, "box.half_widths_kpc": [0.7] * 3})
    del config["mock"]
    with pytest.raises(ConfigError, match=message):
        parse(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch_yr": 24.75}, r"extinction\.epoch_yr: .*greater than or equal to 1800"),
        ({"format": "fixed_width"}, r"format fixed_width and byte_columns go together"),
        (
            {"format": "fixed_width", "byte_columns": {"ra": [9, 3]}},
            r"byte_columns\.ra: the last byte 3 is before 9",
        ),
        ({"join": {"path": "x.csv", True: "id"}}, r"the key True is no text; quote it"),
        ({"join": {"path": "x.csv", "epoch_yr": 2000}}, r"join\.epoch_yr: unknown key"),
    ],
)
def test_mistakes_in_a_catalogue_are_named(changes, message):
    config = _with({"selection.max_distance_kpc": 0.1})
    del config["mock"]
    config["catalogues"] = REAL | {"extinction": REAL["extinction"] | changes}
    with pytest.raises(ConfigError, match=message):
        parse(config)


def test_missing_files_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gaia.fits").touch()
    config = _with({"selection.max_distance_kpc": 0.1})
    del config["mock"]
    sentences = parse(config | {"catalogues": REAL}).missing_files()
    assert len(sentences) == 1
    assert "catalogues.extinction: no such file: hip.csv" in sentences[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: [", "not readable as YAML"),
        ("run: a\nbox:\n  x: 1\n  x: 2\n", "the key `x` stands here twice.*\n.*line 4"),
        ("run: a\nseed: 1\nrun: b\n", "the key `run` stands here twice"),
        ("- 1\n- 2\n", "not a mapping"),
        ("", "not a mapping"),
        (b"\xff\xfe\x00", "not readable"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=rf"mine\.yaml.*{message}"):
        load(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"mine\.yaml: no such file"):
        load(tmp_path / "mine.yaml")


def test_settings_are_plain_values_that_parse_again():
    config = parse(MOCK)
    everything = config.settings(*Config.model_fields)
    assert yaml.safe_load(yaml.safe_dump(everything)) == everything
    assert parse(everything) == config
    assert list(config.settings("box", "map")) == ["box", "map"]


def test_a_fit_does_not_know_the_others():
    config = parse(MOCK)
    more = parse(_with({"fits.fourier.orders": [[2, 2, 1], [4, 4, 1], [8, 8, 2]]}))
    for name in config.fit_names():
        assert config.fit_settings(name) == more.fit_settings(name)
    assert config.fit_settings("fourier-4x4x1")["fits"]["fourier"]["orders"] == [[4, 4, 1]]
    network = config.fit_settings("mlp-8x8")["fits"]
    assert list(network) == ["mlp"]
    assert network["mlp"]["layers"] == [[8, 8]]
    with pytest.raises(ConfigError, match="no fit is called 'fourier-9x9x9'"):
        config.fit_settings("fourier-9x9x9")


def test_orders_start_from_the_one_below():
    config = parse(MOCK)
    starts = {name: config.start_of(name) for name in config.fit_names()}
    assert starts == {"fourier-2x2x1": None, "fourier-4x4x1": "fourier-2x2x1", "mlp-8x8": None}
    alone = parse(_with({"fits.fourier.warm_start": False}))
    assert {alone.start_of(name) for name in alone.fit_names()} == {None}


def test_the_stages_of_the_original_are_shared_out(repository):
    config = load(repository / "config" / "original_sgd.yaml")
    stages = {
        name: [s["order"] for s in config.fit_settings(name)["optimiser"]["method"]["stages"]]
        for name in config.fit_names()
    }
    assert stages == {
        "fourier-10x10x2": [[10, 10, 2]],
        "fourier-20x20x4": [[20, 20, 4]],
        "fourier-40x40x8": [[40, 40, 8], [40, 40, 8]],
    }
    content = yaml.safe_load((repository / "config" / "original_sgd.yaml").read_text())
    content["fits"]["fourier"]["warm_start"] = False
    alone = parse(content).fit_settings("fourier-40x40x8")
    assert len(alone["optimiser"]["method"]["stages"]) == 4
    content["fits"]["fourier"]["orders"].append([50, 50, 10])
    with pytest.raises(ConfigError, match=r"no stage .* has the order \[50, 50, 10\]"):
        parse(content)
