"""The sections of the configuration that one fit depends on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from dust3d.config.base import Box
from dust3d.config.model import FourierFits, Likelihood, MLPFits, Prior, Rays, order_name
from dust3d.config.optimiser import Adam, Optimiser
from dust3d.rays.quadrature import nodes_for
from dust3d.rays.scheme import Scheme, scheme_for
from dust3d.transforms.nonuniform import Evaluator

_OVERSAMPLING = 2.4
_REFINEMENT = 1.5


class Choice(NamedTuple):
    """Kernel of production rays, and voxels per half-wavelength of the highest mode."""

    kernel: str
    oversampling: float


@dataclass(frozen=True)
class FitSettings:
    """What is fitted and how: exactly one of `fourier` (one order) and `mlp` (one network)."""

    box: Box
    prior: Prior
    likelihood: Likelihood
    rays: Rays
    optimiser: Optimiser
    fourier: FourierFits | None
    mlp: MLPFits | None
    deterministic: bool = False

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> "FitSettings":
        """From plain values, as `Config.fit_settings` gives them."""
        fits = settings["fits"]
        return cls(
            Box.model_validate(settings["box"]),
            Prior.model_validate(settings["prior"]),
            Likelihood.model_validate(settings["likelihood"]),
            Rays.model_validate(settings["rays"]),
            Optimiser.model_validate(settings["optimiser"]),
            FourierFits.model_validate(fits["fourier"]) if "fourier" in fits else None,
            MLPFits.model_validate(fits["mlp"]) if "mlp" in fits else None,
            settings.get("deterministic", False),
        )

    @property
    def model(self) -> str:
        """`fourier` or `mlp`."""
        return "mlp" if self.fourier is None else "fourier"

    @property
    def order(self) -> tuple[int, ...]:
        """The order of the series, or the widths of the network's layers."""
        if self.fourier is not None:
            return self.fourier.orders[0]
        assert self.mlp is not None
        return self.mlp.layers[0]

    @property
    def name(self) -> str:
        """Name of the fit, as in its paths."""
        return f"{self.model}-{order_name(self.order)}"

    @property
    def adam(self) -> Adam:
        """The workhorse's settings, if it is Adam."""
        method = self.optimiser.mlp_method if self.fourier is None else self.optimiser.method
        assert isinstance(method, Adam)
        return method

    @property
    def passes(self) -> int:
        """Passes of the workhorse over the stars."""
        method = self.optimiser.mlp_method if self.fourier is None else self.optimiser.method
        if isinstance(method, Adam):
            return method.epochs
        return sum(stage.epochs for stage in method.stages)

    @property
    def climbs(self) -> bool:
        """Whether Newton steps follow the workhorse."""
        follows = isinstance(self.optimiser.method, Adam) and self.optimiser.newton.max_steps > 0
        return follows and self.fourier is not None

    @property
    def ends_exactly(self) -> bool:
        """Whether Newton's last steps by products go to the maximum of exact rays."""
        return self.optimiser.newton.exact and self.ray_method == "production"

    def in_cosines(self) -> "FitSettings":
        """The same Fourier fit in cosines and sines, where its prior is white."""
        assert self.fourier is not None
        return replace(self, fourier=self.fourier.model_copy(update={"form": "cos_sin"}))

    @property
    def dtype(self) -> Any:
        """Precision of the workhorse."""
        return jnp.dtype(self.optimiser.precision)

    def scheme(
        self,
        choice: Choice | None = None,
        refinements: int = 0,
        order: tuple[int, ...] | None = None,
    ) -> Scheme:
        """Grids and kernel of production rays of a Fourier fit.

        Parameters
        ----------
        choice
            From `choose_rays`; none: as configured, without a look at the stars.
        refinements
            How many times the grid is made finer.
        order
            Order of the field, if it is not that of the fit.
        """
        production = self.rays.production
        if choice is None:
            kernel = "deconvolved" if production.kernel == "auto" else production.kernel
            choice = Choice(kernel, production.oversampling or _OVERSAMPLING)
        finer = choice.oversampling * _REFINEMENT**refinements
        return scheme_for(choice.kernel, order or self.order, self.box.half_widths_kpc, finer)

    @property
    def distance_cells(self) -> int:
        """Cells of the distance posteriors, or 1; the original objective knows no likelihood."""
        method = self.optimiser.mlp_method if self.fourier is None else self.optimiser.method
        return self.likelihood.distance_cells if isinstance(method, Adam) else 1

    @property
    def ray_method(self) -> str:
        """The path to extinctions: networks, as dear per voxel as per node, take nodes."""
        if self.fourier is None and self.rays.method == "production":
            return "exact"
        return self.rays.method

    @property
    def evaluator(self) -> Evaluator:
        """How exact rays evaluate a Fourier series at their nodes."""
        return Evaluator(self.rays.exact.evaluator, self.rays.exact.transform_accuracy)

    def first_nodes(self, reach_kpc: float, order: tuple[int, ...] | None = None) -> int:
        """Nodes per ray of exact quadrature to begin with."""
        if self.rays.exact.nodes is not None:
            return self.rays.exact.nodes
        if self.fourier is not None:
            return nodes_for(order or self.order, self.box.half_widths_kpc, reach_kpc)
        assert self.mlp is not None
        waves = reach_kpc / self.mlp.feature_scale_kpc
        return int(np.ceil(16 + 4 * waves))
