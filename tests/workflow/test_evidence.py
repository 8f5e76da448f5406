"""Switched on, evidence adds its own jobs and repeats none."""

from tests.workflow.conftest import planned

FOURIER = {"fourier-2x2x1", "fourier-3x3x1"}
OWN = {"evidence": FOURIER, "orders": {""}, "order_choice_figure": {""}}


def test_switched_on_it_adds_its_own_jobs_to_a_finished_run(finished):
    assert finished.jobs({"evidence": {}}) == OWN


def test_with_samples_the_choice_waits_for_them(finished):
    jobs = finished.jobs({"evidence": {}, "posterior": {"samples": 8}})
    assert OWN.items() <= jobs.items()
    assert "fit" not in jobs
    assert "samples" in jobs


def test_runs_without_the_section_can_ask_for_its_files_by_name(finished):
    name = f"results/{finished.config['run']}/scores/orders.json"
    done = finished.run_config(finished.config, "-n", name)
    assert done.returncode == 0, done.stderr
    assert planned(done.stdout) == {"evidence": FOURIER, "orders": {""}}
