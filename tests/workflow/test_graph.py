"""Which jobs there are, what they wait for, and what is refused before any of them starts."""

import re
from collections import Counter

import yaml

from dust3d.config.run import parse

ORDERS = [[2, 2, 1], [3, 3, 1], [5, 5, 2]]


def _fit_inputs(project, changes):
    """Inputs of every fit in a dry run of another, unfinished run."""
    from_scratch = {"run": "fresh", "fits.fourier.orders": ORDERS} | changes
    config = yaml.safe_load(yaml.safe_dump(project.config))
    for path, value in from_scratch.items():
        section = config
        *parents, last = path.split(".")
        for name in parents:
            section = section[name]
        section[last] = value
    text = project.run_config(config, "-n").stdout
    inputs = re.findall(r"^rule fit:\n    input: (.*)\n    output: (\S+?)/field.h5", text, re.M)
    return {output.split("/")[-1]: files.split(", ") for files, output in inputs}


def test_each_order_waits_for_the_one_below(finished):
    inputs = _fit_inputs(finished, {})
    fits = "results/fresh/fits"
    assert not [f for f in inputs["fourier-2x2x1"] if "fits/" in f]
    assert f"{fits}/fourier-2x2x1/field.h5" in inputs["fourier-3x3x1"]
    assert f"{fits}/fourier-3x3x1/field.h5" in inputs["fourier-5x5x2"]
    assert not [f for f in inputs["mlp-8"] if "fits/" in f]


def test_without_warm_start_all_orders_can_run_at_once(finished):
    inputs = _fit_inputs(finished, {"fits.fourier.warm_start": False})
    assert len(inputs) == 4
    assert not [f for files in inputs.values() for f in files if "fits/" in f]


def _rules(project, changes):
    """Rules of all jobs of another run that is not begun, and how many jobs of each."""
    config = project.config | {"run": "fresh"} | changes
    done = project.run_config(config, "-n")
    assert done.returncode == 0, done.stderr
    return Counter(re.findall(r"^rule (\w+):", done.stdout, re.M))


def test_a_posterior_adds_its_own_jobs_to_an_empty_run(finished):
    own = _rules(finished, {"posterior": {"samples": 8, "per_job": 4}}) - _rules(finished, {})
    # two fits, and two jobs for the samples of each
    assert own == {"posterior": 4, "samples": 2, "posterior_figures": 2}


def test_real_stars_are_ingested_and_have_no_truth(finished, repository):
    config = yaml.safe_load((repository / "config" / "hipparcos.yaml").read_text())
    for path in _catalogue_paths(config):
        (finished.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (finished.folder / path).touch()
    text = finished.run_config(config, "-n").stdout
    assert len(re.findall(r"^rule ingest:", text, re.M)) == 2
    assert "rule mock:" not in text
    assert "truth" not in text
    assert config["catalogues"]["identifications"]["path"] in text


def _catalogue_paths(config):
    parsed = parse(config)
    named = [p for role in ("astrometry", "extinction") for p in parsed.catalogue_files(role)]
    return named + parsed.identification_files()


def _refused(done):
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "rule " not in done.stdout + done.stderr
    return done.stderr


def test_missing_catalogues_are_named_with_the_remedy(finished, repository):
    config = yaml.safe_load((repository / "config" / "hipparcos.yaml").read_text())
    config["catalogues"]["astrometry"]["path"] = "elsewhere/gaia.fits.gz"
    message = _refused(finished.run_config(config, "-n"))
    assert "catalogues.astrometry: no such file: elsewhere/gaia.fits.gz" in message
    assert "make data" in message


def test_a_wrong_key_is_refused_before_any_job(finished):
    config = finished.config | {"heldout": {"fracton": 0.1}}
    message = _refused(finished.run_config(config, "-n"))
    assert "heldout.fracton: unknown key; did you mean `fraction`?" in message


def test_the_demo_does_not_lie_under_a_named_configuration(finished):
    config = {key: value for key, value in finished.config.items() if key != "seed"}
    assert "seed: missing" in _refused(finished.run_config(config, "-n"))


def test_the_demo_is_what_runs_without_a_name(finished):
    done = finished.run("-n")
    assert done.returncode == 0, done.stderr
    assert "results/demo/comparison.csv" in done.stdout


def test_one_value_can_be_changed_on_the_command_line(finished):
    done = finished.run("-n", "--config", "run=mine")
    assert done.returncode == 0, done.stderr
    assert "results/mine/comparison.csv" in done.stdout
    assert "results/demo" not in done.stdout


def test_a_key_that_stands_twice_is_refused(finished):
    path = finished.folder / "twice.yaml"
    path.write_text(yaml.safe_dump(finished.config) + "seed: 2\n")
    message = _refused(finished.run("--configfile", str(path), "-n"))
    assert "twice.yaml: not readable as YAML: the key `seed` stands here twice" in message


def test_elsewhere_it_runs_only_if_a_folder_is_named(finished, tmp_path):
    arguments = ["--snakefile", str(finished.folder / "workflow" / "Snakefile"), "-n"]
    arguments += ["--configfile", str(finished.folder / "changed.yaml")]
    finished.run_config(finished.config, "-n")
    message = _refused(finished.run(*arguments, folder=tmp_path))
    assert f"{tmp_path}: not the project's root" in message
    assert f"run from {finished.folder}, or add --directory" in message
    done = finished.run(*arguments, "--directory", str(tmp_path), folder=tmp_path)
    assert done.returncode == 0, done.stderr
