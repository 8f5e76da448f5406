"""What the sections of a configuration must agree on."""

import math

from pydantic import model_validator

from dust3d.config.mock import FourierTruth
from dust3d.config.optimiser import Original
from dust3d.config.sections import Sections

FEWEST_MOCK_STARS = 100
MOST_CELLS = 2_000_000_000


class Agreement(Sections):
    """Sections that fit each other: each check names the keys that do not."""

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
