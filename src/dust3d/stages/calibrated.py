"""What the ranks of all mocks of a fit say together."""

from collections.abc import Sequence
from pathlib import Path

from dust3d.calibration.summary import summary
from dust3d.files import write_json
from dust3d.io.reports import read_json
from dust3d.progress import logger
from dust3d.provenance import file_digest, provenance


def gather(
    *, parts: Sequence[str | Path], output: str | Path, level: float, seed: int, source: str
) -> None:
    """Rank distributions and coverage of a fit, of all its jobs.

    Parameters
    ----------
    parts
        What `calibrate.ranks` has written.
    output
        JSON to be written.
    level
        Of the simultaneous bands.
    seed, source
        Of the run and of the stage.

    Raises
    ------
    ProductError
        If a part is missing or damaged.
    """
    read = [read_json(path, ["name", "samples", "outcomes"]) for path in parts]
    outcomes = [one for part in read for one in part["outcomes"]]
    found = summary(outcomes, samples=read[0]["samples"], level=level, seed=seed)
    strayed = [name for name, scalar in found["scalars"].items() if not scalar["inside"]]
    logger.info(
        "%s: %d mocks; outside their bands: %s",
        read[0]["name"],
        len(outcomes),
        ", ".join(strayed) or "none",
    )
    inputs = {Path(path).name: file_digest(path) for path in parts}
    origin = provenance(settings={"level": level}, source=source, seed=seed)
    write_json(
        output, {"name": read[0]["name"], **found, "provenance": origin | {"inputs": inputs}}
    )
