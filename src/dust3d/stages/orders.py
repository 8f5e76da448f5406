"""Which of a run's fits the data support."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy_healpix import HEALPix

from dust3d import runtime
from dust3d.config.base import Box
from dust3d.config.model import Likelihood
from dust3d.config.output import Scores
from dust3d.errors import ProductError
from dust3d.fields.sum import in_cosines
from dust3d.files import write_json
from dust3d.io.fields import load_field
from dust3d.io.reports import read_json
from dust3d.io.samples import load_samples
from dust3d.io.stars import read_split
from dust3d.io.tables import read_table
from dust3d.observations import Observations
from dust3d.progress import logger
from dust3d.provenance import file_digest, provenance
from dust3d.rays.gridded import GriddedField, grid_for_field
from dust3d.scores.calibration import posterior_predictive
from dust3d.scores.orders import Candidate, choose
from dust3d.scores.predict import predict


def _evidence(path: Path, digest: str) -> tuple[float, float]:
    """ln Z and its standard error, of the fit whose file has this digest."""
    keys = ["ln_evidence", "standard_error", "provenance.inputs.fit"]
    found = read_json(path, keys)
    if found["provenance"]["inputs"]["fit"] != digest:
        raise ProductError(f"{path}: the evidence of another fit than the one beside it; delete it")
    return float(found["ln_evidence"]), float(found["standard_error"])


@dataclass(frozen=True)
class _Case:
    """The held-out stars of a run, and how they are judged."""

    half_widths: tuple[float, ...]
    likelihood: Likelihood
    stars: Observations

    def log_density(self, path: Path, fitted: dict[str, Any], samples: Path | None) -> np.ndarray:
        """ln p(A_obs) of each star: by all samples together, else by the maximum."""
        field, _ = load_field(path)
        if samples is not None:
            drawn = load_samples(samples, in_cosines(field))
            mixture = posterior_predictive(drawn, self.half_widths, self.stars, self.likelihood)
            return mixture.log_density(self.stars.extinction)
        gridded = GriddedField(field, grid_for_field(field, self.half_widths))
        return predict(gridded, self.stars, self.likelihood, fitted).log_density


def _by_fit(paths: Sequence[str | Path]) -> dict[str, Path]:
    """Files that lie in the folders of their fits, by its name."""
    return {Path(path).parent.name: Path(path) for path in paths}


def _candidate(
    case: _Case, path: Path, evidence: Mapping[str, Path], samples: Mapping[str, Path]
) -> Candidate:
    summary = read_json(path.with_name("fit.json"), ["parameters", "likelihood"])
    name = path.parent.name
    density = case.log_density(path, summary["likelihood"], samples.get(name))
    known = _evidence(evidence[name], file_digest(path)) if name in evidence else (None, 0.0)
    return Candidate(name, int(summary["parameters"]), np.asarray(density, np.float64), *known)


def _patches(path: str | Path, nside: int) -> np.ndarray:
    table = read_table(path, columns=["l", "b"])
    return np.asarray(HEALPix(nside).lonlat_to_healpix(table["l"], table["b"]))


def choice(
    *,
    fits: Sequence[str | Path],
    evidence: Sequence[str | Path],
    samples: Sequence[str | Path],
    train: str | Path,
    heldout: str | Path,
    output: str | Path,
    settings: Mapping[str, Any],
    seed: int,
    source: str,
) -> None:
    """Choose among the fits of a run.

    Parameters
    ----------
    fits
        `field.h5` of each; `fit.json` lies beside it.
    evidence
        `evidence.json` of those that have one, in the folders of their fits.
    samples
        `samples.h5` of those that have samples: held-out stars are judged by all of them together.
    train, heldout
        The stars of the fits, and those kept from them.
    output
        JSON, as `scores.orders.choose` returns it.
    settings
        Sections `box`, `likelihood`, `scores`.
    seed, source
        Of the run and of the stage.

    Raises
    ------
    ProductError
        If a product is missing or damaged, or the evidence is that of another fit.
    """
    runtime.configure()
    half_widths = Box.model_validate(settings["box"]).half_widths_kpc
    likelihood = Likelihood.model_validate(settings["likelihood"])
    nside = Scores.model_validate(settings["scores"]).pixel_nside
    _, stars = read_split(train, heldout, half_widths)
    case, known, drawn = _Case(half_widths, likelihood, stars), _by_fit(evidence), _by_fit(samples)
    candidates = [_candidate(case, Path(path), known, drawn) for path in fits]
    found = choose(candidates, _patches(heldout, nside))
    if found["evidence"] is not None:
        logger.info("evidence: %s", found["evidence"]["winner"])
    by_stars = found["heldout"]
    logger.info(
        "held-out stars: %s; simplest within one standard error: %s",
        by_stars["best"],
        by_stars["simplest_within_one_standard_error"],
    )
    origin = provenance(settings=settings, source=source, seed=seed)
    write_json(output, found | {"provenance": origin})
