"""The target `calibrate`: its jobs, and that no other target has any of them."""

import re

SECTIONS = {
    "run": "calibrated",
    "posterior": {"samples": 15},
    "calibration": {"mocks": 12, "per_job": 5},
}


def _jobs(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return re.findall(r"^rule (\w+):", done.stdout, re.M)


def test_each_fit_is_calibrated_by_jobs_of_its_own(finished):
    config = finished.config | SECTIONS
    jobs = _jobs(finished.run_config(config, "-n", "calibrate"))
    fits = len(config["fits"]["fourier"]["orders"])
    assert jobs.count("calibration_ranks") == 3 * fits
    assert jobs.count("calibration") == fits
    assert jobs.count("calibrate") == 1
    # the first job looks at the environment; mocks need nothing else of the run
    assert set(jobs) == {"environment", "calibration_ranks", "calibration", "calibrate"}


def test_a_run_has_no_jobs_of_a_calibration_that_is_not_asked_for(finished):
    jobs = _jobs(finished.run_config(finished.config | SECTIONS, "-n"))
    assert not [job for job in jobs if job.startswith("calib")]


def test_a_calibration_needs_samples(finished):
    config = finished.config | {"calibration": {"mocks": 12}}
    done = finished.run_config(config, "-n", "calibrate")
    assert done.returncode != 0
    assert "calibration: there are no samples to calibrate; add the section" in done.stderr
