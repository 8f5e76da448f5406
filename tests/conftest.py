"""What all tests share: checked shapes and types, the data folder, no silent skips."""

import fnmatch
import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

os.environ.setdefault("MPLBACKEND", "Agg")

# before dust3d is imported: only modules loaded later are checked
install_import_hook("dust3d", "beartype.beartype")

ROOT = Path(__file__).resolve().parents[1]
ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")
_skipped: list[tuple[str, str]] = []


def pytest_configure(config: pytest.Config) -> None:
    """Set JAX up as the stages do."""
    from dust3d import runtime

    runtime.configure(cache=ROOT / ".jax_cache")


def under_ci() -> bool:
    """Whether nothing may be skipped."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the working tree."""
    return ROOT


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The real data: `DUST3D_DATA`, else `data/`, else `../shared/data`."""
    named = os.environ.get("DUST3D_DATA")
    candidates = [Path(named)] if named else [ROOT / "data", ROOT.parent / "shared" / "data"]
    for folder in candidates:
        if (folder / "hipparcos").is_dir() and (folder / "gaia").is_dir():
            return folder.resolve()
    message = (
        f"no real data in {' or '.join(map(str, candidates))}: run `make data` or set DUST3D_DATA"
    )
    if under_ci():
        pytest.fail(message)
    pytest.skip(message)


def _allowed() -> list[tuple[str, str]]:
    """Patterns of test ids that may be skipped, with their reasons."""
    rows = []
    for line in ALLOWED_SKIPS.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            pattern, _, reason = line.partition(" ")
            if not reason.strip():
                raise pytest.UsageError(f"{ALLOWED_SKIPS}: `{pattern}` has no reason beside it")
            rows.append((pattern, reason.strip()))
    return rows


def _forbidden_skips() -> list[tuple[str, str]]:
    if not under_ci():
        return []
    patterns = [pattern for pattern, _ in _allowed()]
    return [s for s in _skipped if not any(fnmatch.fnmatchcase(s[0], p) for p in patterns)]


def _note(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        _skipped.append((report.nodeid, str(reason)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what is skipped (called in the controller of xdist, too)."""
    _note(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Remember modules that skip themselves."""
    _note(report)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under CI a skip that is not listed is a failure."""
    is_worker = hasattr(session.config, "workerinput")
    if not is_worker and session.exitstatus == pytest.ExitCode.OK and _forbidden_skips():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which skips make the run fail."""
    for nodeid, reason in _forbidden_skips():
        terminalreporter.write_line(
            f"FAILED {nodeid} was skipped under CI and is not in {ALLOWED_SKIPS.name}: {reason}",
            red=True,
        )
