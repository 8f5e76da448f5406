"""The whole configuration of a run, and how it is read."""

import math
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from dust3d.config.base import Box, Section
from dust3d.config.calibration import Calibration
from dust3d.config.catalogues import Catalogues, Crossmatch, Heldout, Selection
from dust3d.config.clouds import Clouds
from dust3d.config.evidence import Evidence
from dust3d.config.messages import explain
from dust3d.config.mock import FourierTruth, Mock, TableStars
from dust3d.config.model import Fits, Likelihood, Prior, Rays, order_name
from dust3d.config.optimiser import Optimiser, Original
from dust3d.config.output import Map, Plots, Scores
from dust3d.config.posterior import Posterior
from dust3d.config.text import read
from dust3d.errors import ConfigError

FEWEST_MOCK_STARS = 100
MOST_CELLS = 2_000_000_000
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


class Config(Section):
    """A run: everything that decides its numbers and pictures."""

    run: str = Field(
        pattern=_NAME,
        description="Name; all its files go to results/NAME/.",
    )
    seed: int = Field(ge=0, le=2**31 - 1, description="Seed of every random number.")
    box: Box = Field(description="The box of the field.")
    mock: Mock | None = Field(default=None, description="A mock sky; or give `catalogues`.")
    catalogues: Catalogues | None = Field(default=None, description="Real stars; or give `mock`.")
    crossmatch: Crossmatch = Field(
        default=Crossmatch(), description="Pairing of the two catalogues."
    )
    selection: Selection = Field(default=Selection(), description="Which stars are used.")
    heldout: Heldout = Field(default=Heldout(), description="Stars kept from the fits.")
    fits: Fits = Field(description="The grid of models.")
    prior: Prior = Field(default=Prior(), description="Prior of the field.")
    likelihood: Likelihood = Field(
        default=Likelihood(), description="Likelihood of the extinctions."
    )
    rays: Rays = Field(default=Rays(), description="From density to extinction.")
    optimiser: Optimiser = Field(default=Optimiser(), description="How the maximum is found.")
    posterior: Posterior | None = Field(
        default=None,
        description="Samples of the posterior, for uncertainties in maps, queries and scores; "
        "none: the maximum alone.",
    )
    calibration: Calibration | None = Field(
        default=None,
        description="Mocks that tell whether the posterior is calibrated, for the target "
        "`calibrate`; none: no such target.",
    )
    evidence: Evidence | None = Field(
        default=None,
        description="Log evidence of every Fourier fit, and the choice among all fits by it and by "
        "held-out stars; none: no choice is made.",
    )
    map: Map = Field(description="The grid of the maps.")
    scores: Scores = Field(default=Scores(), description="How fits are judged.")
    clouds: Clouds | None = Field(
        default=None,
        description="Clouds of known distance that are looked for in the maps; none: no table of "
        "them.",
    )
    plots: Plots = Field(default=Plots(), description="Figures.")
    deterministic: bool = Field(
        default=False,
        description="Fits repeat to the bit on the same machine with as many cores; exact rays "
        "then take one thread.",
    )
    allow_cpu: bool = Field(
        default=False,
        description="A job that a cluster promised a GPU, and that finds none, computes on the "
        "CPU; else it stops. Changes no numbers, so nothing runs again for it.",
    )

    @model_validator(mode="after")
    def _one_source_of_stars(self):
        if self.mock is None and self.catalogues is None:
            raise ValueError("give `mock` (a simulated sky) or `catalogues` (real stars)")
        if self.mock is not None and self.catalogues is not None:
            raise ValueError(
                "give `mock` (a simulated sky) or `catalogues` (real stars), not both; "
                "leave one of the two sections out"
            )
        return self

    @model_validator(mode="after")
    def _mocks_have_stars(self):
        number = self.mock.stars.number if self.mock is not None else None
        if number is not None and number < FEWEST_MOCK_STARS:
            raise ValueError(
                f"mock.stars.number = {number} is too few to fit and to score; "
                f"make it {FEWEST_MOCK_STARS} or more"
            )
        if self.star_tables() and self.box.ndim == 2:
            raise ValueError(
                "mock.stars.placement: the stars of a table are not in the Galactic plane; give "
                "box.half_widths_kpc three numbers"
            )
        return self

    @model_validator(mode="after")
    def _grids_fit_into_memory(self):
        fine = self.rays.production.oversampling or 1.0
        grids: dict[str, float] = {"map.cells": math.prod(self.map.cells)}
        for i, order in enumerate(self.fits.fourier.orders):
            grids[f"fits.fourier.orders[{i}]"] = math.prod(2 * fine * m for m in order)
        if self.mock is not None and isinstance(self.mock.truth, FourierTruth):
            grids["mock.truth.order"] = math.prod(2 * m for m in self.mock.truth.order)
        for key, cells in grids.items():
            if cells > MOST_CELLS:
                raise ValueError(
                    f"{key} asks for a grid of {cells:.2g} cells, more than the {MOST_CELLS:.2g} "
                    "that fit into memory; lower it"
                )
        return self

    @model_validator(mode="after")
    def _axes_agree(self):
        ndim = self.box.ndim
        lists: dict[str, tuple] = {"map.cells": self.map.cells}
        for i, order in enumerate(self.fits.fourier.orders):
            lists[f"fits.fourier.orders[{i}]"] = order
        if self.mock and isinstance(self.mock.truth, FourierTruth):
            lists["mock.truth.order"] = self.mock.truth.order
        turbulence = self.mock and getattr(self.mock.truth, "turbulence", None)
        if turbulence:
            lists["mock.truth.turbulence.order"] = turbulence.order
        if isinstance(self.optimiser.method, Original):
            for i, stage in enumerate(self.optimiser.method.stages):
                lists[f"optimiser.method.stages[{i}].order"] = stage.order
        for key, values in lists.items():
            if len(values) != ndim:
                raise ValueError(
                    f"{key} has {len(values)} entries, but box.half_widths_kpc has {ndim}; "
                    "give one entry per axis"
                )
        if ndim == 2 and self.prior.mean.kind == "vertical":
            raise ValueError("prior.mean: a vertical profile needs a 3-D box; use kind: constant")
        return self

    @model_validator(mode="after")
    def _stars_inside_box(self):
        reach = self.selection.max_distance_kpc
        smallest = min(self.box.half_widths_kpc)
        if self.catalogues is not None and reach is None:
            raise ValueError(
                "selection.max_distance_kpc is missing; real stars need a largest distance"
            )
        if reach is not None and self.catalogues is not None and reach * 1.5 > smallest * 1.0001:
            raise ValueError(
                f"selection.max_distance_kpc = {reach:g} is too close to the box's faces "
                f"(box.half_widths_kpc = {list(self.box.half_widths_kpc)}): the box is periodic, "
                f"so make every half-width at least {1.5 * reach:g} or take nearer stars only"
            )
        if self.mock is not None:
            corner = math.hypot(*self.box.half_widths_kpc)
            if reach is not None and reach > corner:
                raise ValueError(
                    f"selection.max_distance_kpc = {reach:g} is beyond the corners of the mock's "
                    f"box ({corner:.3g} kpc away); lower it, or leave it out to take all stars"
                )
            extent = self.mock.stars.placement.extent
            if extent > self.selection.box_fraction:
                raise ValueError(
                    f"mock.stars.placement.extent = {extent:g} puts stars outside the part of the "
                    f"box that is used (selection.box_fraction = {self.selection.box_fraction:g}); "
                    "lower the one or raise the other"
                )
        return self

    @model_validator(mode="after")
    def _slices_cross_the_box(self):
        if self.box.ndim == 3:
            for height in self.plots.slices_kpc:
                if abs(height) >= self.box.half_widths_kpc[2]:
                    raise ValueError(
                        f"plots.slices_kpc: {height:g} is outside the box; heights lie between "
                        f"-{self.box.half_widths_kpc[2]:g} and {self.box.half_widths_kpc[2]:g}"
                    )
        return self

    @model_validator(mode="after")
    def _classes_exist(self):
        # of a table, which may not be there yet, the classes are not known
        if self.mock and self.selection.classes is not None and not self.star_tables():
            made = [c.name for c in self.mock.stars.classes]
            for name in self.selection.classes:
                if name not in made:
                    raise ValueError(
                        f"selection.classes: no mock star is of class {name!r}; "
                        f"mock.stars.classes has {', '.join(made)}"
                    )
        return self

    @model_validator(mode="after")
    def _original_reaches_every_order(self):
        method = self.optimiser.method
        if isinstance(method, Original):
            reached = [stage.order for stage in method.stages]
            for order in self.fits.fourier.orders:
                if order not in reached:
                    raise ValueError(
                        f"fits.fourier.orders: no stage of optimiser.method has the order "
                        f"{list(order)}; give it a stage or leave the order out"
                    )
        return self

    @model_validator(mode="after")
    def _original_ignores_nothing(self):
        if isinstance(self.optimiser.method, Original):
            if self.fits.fourier.form == "amplitude_phase":
                raise ValueError(
                    "fits.fourier.form: optimiser.method of kind original fits cosines and sines "
                    "and would ignore amplitude_phase; use form: cos_sin, or kind: adam"
                )
            if self.prior.mean.kind == "vertical":
                raise ValueError(
                    "prior.mean: optimiser.method of kind original fits one mean and would ignore "
                    "a vertical profile; use kind: constant here, or optimiser.method.kind: adam"
                )
        return self

    @model_validator(mode="after")
    def _clouds_are_inside_the_box(self):
        if self.clouds is not None:
            if self.box.ndim == 2:
                raise ValueError("clouds: they are looked for in 3-D maps only; leave the list out")
            far, reach = self.clouds.window_kpc[1], min(self.box.half_widths_kpc)
            if far > reach:
                raise ValueError(
                    f"clouds.window_kpc reaches to {far:g} kpc, out of the box (half-width "
                    f"{reach:g}); shorten it"
                )
        return self

    @model_validator(mode="after")
    def _samples_are_around_a_maximum(self):
        if self.posterior is not None:
            if isinstance(self.optimiser.method, Original):
                raise ValueError(
                    "posterior: optimiser.method of kind original ends at no maximum of the "
                    "posterior to sample around; use kind: adam, or leave posterior out"
                )
            if self.optimiser.newton.max_steps == 0:
                raise ValueError(
                    "posterior: optimiser.newton.max_steps = 0 leaves fits short of the maximum "
                    "to sample around; raise it, or leave posterior out"
                )
        return self

    @model_validator(mode="after")
    def _samples_are_calibrated(self):
        if self.calibration is not None and self.posterior is None:
            raise ValueError(
                "calibration: there are no samples to calibrate; add the section `posterior`"
            )
        return self

    @model_validator(mode="after")
    def _evidence_is_around_a_maximum(self):
        if self.evidence is not None and isinstance(self.optimiser.method, Original):
            raise ValueError(
                "evidence: optimiser.method of kind original ends at no maximum of the posterior; "
                "use kind: adam, or leave evidence out"
            )
        return self

    @model_validator(mode="after")
    def _films_have_pictures(self):
        if self.plots.animation and self.optimiser.snapshots < 2:
            raise ValueError(
                f"plots.animation: a film needs two pictures, but optimiser.snapshots = "
                f"{self.optimiser.snapshots}; raise it to 2 or more, or set plots.animation: false"
            )
        return self

    @property
    def is_mock(self) -> bool:
        """Whether the truth is known."""
        return self.mock is not None

    def fit_names(self) -> list[str]:
        """Names of all fits: `fourier-10x10x2`, `mlp-64x64`, ..."""
        fourier = [f"fourier-{order_name(o)}" for o in self.fits.fourier.orders]
        return fourier + [f"mlp-{order_name(w)}" for w in self.fits.mlp.layers]

    def fourier_fits(self) -> list[str]:
        """Names of the fits that are Fourier series."""
        return [name for name in self.fit_names() if name.startswith("fourier-")]

    def sampled_fits(self) -> list[str]:
        """Names of the fits whose posterior is sampled: the Fourier series."""
        if self.posterior is None:
            return []
        return [name for name in self.fit_names() if name.startswith("fourier-")]

    def sample_parts(self) -> list[int]:
        """Numbers of the jobs that share the samples of one fit."""
        assert self.posterior is not None
        return list(range(math.ceil(self.posterior.samples / self.posterior.per_job)))

    def settings(self, *keys: str) -> dict[str, Any]:
        """The named top-level sections as plain JSON-able values, for a rule's `params:`."""
        full = self.model_dump(mode="json")
        return {key: full[key] for key in keys}

    def figure_settings(self, *keys: str) -> dict[str, Any]:
        """The named sections and `plots`, without the choice whether there are films."""
        settings = self.settings("plots", *keys)
        del settings["plots"]["animation"]
        return settings

    def start_of(self, name: str) -> str | None:
        """The fit that a fit starts from: the order below, if the run warm-starts."""
        fourier = [f"fourier-{order_name(o)}" for o in self.fits.fourier.orders]
        if self.fits.fourier.warm_start and name in fourier[1:]:
            return fourier[fourier.index(name) - 1]
        return None

    def fit_settings(self, name: str) -> dict[str, Any]:
        """What one fit depends on, as plain values: its own order only, not the other fits'.

        `fits` holds either `fourier` with one entry in `orders`, or `mlp` with one entry in
        `layers`; `optimiser` only the method that the fit uses; of the original recipe's
        stages only those that lead from the fit it starts from to its own order.
        """
        settings = self.settings(
            "box", "prior", "likelihood", "rays", "optimiser", "fits", "deterministic"
        )
        fits, optimiser = settings.pop("fits"), settings["optimiser"]
        for order in self.fits.fourier.orders:
            if name == f"fourier-{order_name(order)}":
                # whether there is a start is an input of the fit, not a number
                fourier = {k: v for k, v in fits["fourier"].items() if k != "warm_start"}
                del optimiser["mlp_method"]
                if isinstance(self.optimiser.method, Original):
                    optimiser["method"]["stages"] = self._original_stages(name, order)
                return settings | {"fits": {"fourier": fourier | {"orders": [list(order)]}}}
        for layers in self.fits.mlp.layers:
            if name == f"mlp-{order_name(layers)}":
                del optimiser["method"]
                return settings | {"fits": {"mlp": fits["mlp"] | {"layers": [list(layers)]}}}
        raise ConfigError(f"no fit is called {name!r}; this run has {', '.join(self.fit_names())}")

    def _original_stages(self, name: str, order: tuple[int, ...]) -> list[dict[str, Any]]:
        """Stages of the original recipe up to an order, after those of the fit below."""
        assert isinstance(self.optimiser.method, Original)
        start = self.start_of(name)
        done: tuple[int, ...] = (0,) * len(order)
        for lower in self.fits.fourier.orders:
            if start == f"fourier-{order_name(lower)}":
                done = lower
        return [
            stage.model_dump(mode="json")
            for stage in self.optimiser.method.stages
            if stage.order <= order and stage.order > done
        ]

    def ingest_settings(self, role: str) -> dict[str, Any]:
        """What the ingestion of one catalogue depends on: nothing of the other one."""
        catalogues = self.settings("catalogues")["catalogues"]
        keys = (role, "excess") if role == "extinction" else (role,)
        return {"catalogues": {key: catalogues[key] for key in keys}}

    def crossmatch_settings(self) -> dict[str, Any]:
        """What the cross-match depends on besides the two ingested catalogues."""
        settings = self.settings("crossmatch", "catalogues")
        catalogues = settings.pop("catalogues")
        if catalogues is not None:
            settings["catalogues"] = {"identifications": catalogues["identifications"]}
        return settings

    def identification_files(self) -> list[str]:
        """The file of published identifications, if there is one."""
        if self.catalogues is None or self.catalogues.identifications is None:
            return []
        return [self.catalogues.identifications.path]

    def catalogue_files(self, role: str) -> list[str]:
        """Files that the ingestion of a catalogue (`astrometry`, `extinction`) reads."""
        if self.catalogues is None:
            return []
        table = getattr(self.catalogues, role)
        files = [table.path] + ([table.join.path] if table.join is not None else [])
        if role == "extinction" and self.catalogues.excess is not None:
            files.append(self.catalogues.excess.sequence)
        return files

    def star_tables(self) -> list[str]:
        """Star tables that a mock has its stars from."""
        if self.mock is None or not isinstance(self.mock.stars.placement, TableStars):
            return []
        return list(self.mock.stars.placement.paths)

    def missing_files(self) -> list[str]:
        """One plain sentence for each file that the configuration names and that is not there."""
        if self.catalogues is None:
            return [
                f"mock.stars.placement.paths: no such file: {path}; the run that selects these "
                f"stars makes it: snakemake --cores all --configfile FILE {path}"
                for path in self.star_tables()
                if not Path(path).is_file()
            ]
        named = {
            f"catalogues.{role}": self.catalogue_files(role)
            for role in ("astrometry", "extinction")
        }
        named["catalogues.identifications"] = self.identification_files()
        return [
            f"{key}: no such file: {path}; `make data` fetches the catalogues into data/"
            for key, files in named.items()
            for path in files
            if not Path(path).is_file()
        ]


def parse(content: Any, origin: str = "config") -> Config:
    """Check a configuration that has been read.

    Raises
    ------
    ConfigError
        Naming every key that is wrong, and what to do.
    """
    if not isinstance(content, dict):
        raise ConfigError(f"{origin}: not a mapping of keys to values; see config/README.md")
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        raise ConfigError(explain(Config, error, origin)) from None
    # checks across sections calculate with what is given
    except (ArithmeticError, MemoryError, RecursionError) as error:
        raise ConfigError(
            f"{origin}: a number in it is too large to calculate with ({error}); correct it"
        ) from None


def load(path: str | Path) -> Config:
    """Read and check a configuration file.

    Raises
    ------
    ConfigError
        If the file is missing, is not YAML, or a key in it is wrong.
    """
    return parse(read(path), str(path))
