"""Mocks from the prior of a fit, each fitted and sampled: the ranks of the truths."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dust3d import runtime
from dust3d.calibration.mocks import draw_sky
from dust3d.calibration.trials import Trials
from dust3d.config.calibration import Calibration
from dust3d.config.posterior import Posterior
from dust3d.determinism import set_deterministic
from dust3d.files import write_json
from dust3d.inference.settings import FitSettings
from dust3d.keys import generator_for
from dust3d.progress import Progress
from dust3d.provenance import provenance


def ranks(
    *,
    output: str | Path,
    settings: Mapping[str, Any],
    posterior: Mapping[str, Any],
    calibration: Mapping[str, Any],
    part: int,
    seed: int,
    source: str,
) -> None:
    """Draw, fit and sample the mocks of one job, and rank their truths.

    Parameters
    ----------
    output
        JSON to be written.
    settings
        Of the fit, as `Config.fit_settings` gives them.
    posterior, calibration
        Sections of the configuration.
    part
        Which mocks: `per_job` from `part * per_job` on.
    seed, source
        Of the run and of the stage.

    Raises
    ------
    FitError
        If a fit does not reach its maximum, or a sample misses its tolerance.
    """
    parsed, sampled = FitSettings.parse(settings).in_cosines(), Posterior.model_validate(posterior)
    wanted = Calibration.model_validate(calibration)
    set_deterministic(parsed.deterministic)
    runtime.configure()
    own = generator_for(seed, f"calibration: sky {part} of {parsed.name}")
    sky = draw_sky(parsed.box, wanted, int(own.integers(2**31)))
    trials = Trials(parsed, sampled, wanted, sky, seed)
    numbers = range(wanted.mocks)[part * wanted.per_job : (part + 1) * wanted.per_job]
    progress = Progress(f"{parsed.name}: mocks", len(numbers))
    outcomes = []
    for number in numbers:
        outcomes.append(trials.outcome(number))
        progress.update(seconds=outcomes[-1].seconds, missed=outcomes[-1].missed)
    progress.close()
    content = {
        "name": parsed.name,
        "samples": sampled.samples,
        "outcomes": [one.plain() for one in outcomes],
        "provenance": provenance(settings=settings, source=source, seed=seed)
        | {"device": runtime.device_name()},
    }
    write_json(output, content)
