"""The sky that rays are measured on, and one value and gradient as fits compute it."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import yaml
from peers import DirectPrior

from dust3d.config import run as config
from dust3d.config.base import Box
from dust3d.config.mock import FourierTruth
from dust3d.inference.batches import rows_in_order
from dust3d.inference.build import batches_for, target_for
from dust3d.inference.choice import choose_rays
from dust3d.inference.settings import FitSettings
from dust3d.keys import generator_for
from dust3d.mock.truths import draw_truth
from dust3d.observations import Observations
from dust3d.rays import nodes
from dust3d.transforms.nonuniform import Evaluator

REPOSITORY = Path(__file__).resolve().parents[1]
SIGMA_MAG, EXTENT = 0.1, 0.8
SEED = 17


class Experiment:
    """Stars, a field to take gradients at, and the truth about both, at one order.

    Parameters
    ----------
    order
        Of the field.
    stars
        How many most ways see.
    all_stars
        How many production rays see besides.
    kernel, oversampling
        Of production rays; none: as in config/original.yaml.
    """

    def __init__(
        self,
        order: Sequence[int],
        stars: int,
        all_stars: int,
        kernel: str | None = None,
        oversampling: float | None = None,
    ):
        self.order, self.stars = tuple(order), stars
        self._content = yaml.safe_load((REPOSITORY / "config" / "original.yaml").read_text())
        self._content["fits"] = {"fourier": {"orders": [list(order)]}}
        self._content["prior"].pop("std_scale_kpc")
        self._content["likelihood"] = {"error_inflation": {"median": 1.0, "fit": False}}
        chosen = {"kernel": kernel, "oversampling": oversampling}
        given = {key: value for key, value in chosen.items() if value is not None}
        self._content["rays"]["production"] |= given
        self.box = tuple(self._content["box"]["half_widths_kpc"])
        self.field, truth = self._draw(SEED + 1), self._draw(SEED)
        generator = generator_for(SEED, "benchmark: stars")
        positions = generator.uniform(-EXTENT, EXTENT, (all_stars, 3)) * np.asarray(self.box)
        settings = self.settings("exact")
        self.nodes = settings.first_nodes(float(np.linalg.norm(positions, axis=1).max()))
        extinction = nodes.extinctions(truth, positions, self.nodes, Evaluator(accuracy=1e-5))
        extinction += generator.normal(0, SIGMA_MAG, all_stars)
        sigma, classes = np.full(all_stars, SIGMA_MAG), np.zeros(all_stars, np.int64)
        self.observations = Observations(positions, extinction, sigma, classes, ("A",))
        self._references: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def _draw(self, seed: int):

        given = self._content["mock"]["truth"] | {"order": list(self.order)}
        return draw_truth(FourierTruth(**given), Box(half_widths_kpc=self.box), seed)

    def settings(self, method: str, precision: str = "float32", **exact: Any):
        """Those of a fit by one way; `exact` as the section `rays.exact`."""
        rays = self._content["rays"] | {"method": method, "exact": exact}
        optimiser = self._content["optimiser"] | {"precision": precision}
        parsed = config.parse(self._content | {"rays": rays, "optimiser": optimiser})
        name = "fourier-" + "x".join(map(str, self.order))
        return FitSettings.parse(parsed.fit_settings(name))

    def target(self, dtype: Any):
        """The posterior, and the whitened parameters of the field."""
        target = target_for(self.settings("exact"), 1, SEED, dtype)
        mean, series = self.field.parts
        parts = target.prior.parts
        white = {"varying": parts["varying"].whiten(series), "mean": parts["mean"].whiten(mean)}
        xi = {"field": white, "likelihood": target.likelihood.start()}
        return target, jax.tree.map(lambda leaf: leaf.astype(dtype), xi)

    def first(self, stars: int):
        """The first of the stars."""
        return self.observations.take(np.arange(stars))

    def reference(self, stars: int) -> tuple[np.ndarray, np.ndarray]:
        """Extinctions and gradient: double precision, separable, twice the usual nodes."""
        if stars not in self._references:
            settings = self.settings(
                "exact", "float64", nodes=2 * self.nodes, evaluator="separable"
            )
            fit = Fit(self, settings, stars)
            self._references[stars] = (fit.extinctions(), fit.gradient())
        return self._references[stars]

    def errors(self, stars: int, extinctions: np.ndarray, gradient: np.ndarray) -> dict[str, float]:
        """99th percentile of |A - A_ref| [sigma], and relative L2 of the gradient's error."""
        exact, by_exact = self.reference(stars)
        return {
            "value_error": float(np.percentile(np.abs(extinctions - exact), 99) / SIGMA_MAG),
            "gradient_error": float(np.linalg.norm(gradient - by_exact) / np.linalg.norm(by_exact)),
        }


class Fit:
    """One value and gradient as a fit computes it, all stars in one batch.

    Parameters
    ----------
    experiment
        Stars and field.
    settings
        Of the fit.
    stars
        How many of them.
    direct
        Whether modes are summed one by one.
    refinements
        How many times production rays were made finer.
    """

    def __init__(
        self,
        experiment: Experiment,
        settings: Any,
        stars: int,
        direct: bool = False,
        refinements: int = 0,
    ):

        observations = experiment.first(stars)
        options = {}
        if settings.ray_method == "production":
            choice = choose_rays(settings, observations, batches=1, seed=SEED)
            options = {"choice": choice, "refinements": refinements}
        started = time.perf_counter()
        self.batches = batches_for(settings, observations, rows_in_order(stars, stars), **options)
        self.setup_seconds = time.perf_counter() - started
        self.settings, self.options = settings, options
        target, self._xi = experiment.target(settings.dtype)
        if direct:
            target = replace(target, prior=DirectPrior(target.prior))
        self._arguments = self.batches.at(0)

        @eqx.filter_jit
        def value_and_gradient(xi, *some):
            return jax.value_and_grad(target.log_likelihood)(xi, *some)

        @eqx.filter_jit
        def moments(xi, rays, batch):
            return rays.moments(target.prior.field(xi["field"]), batch, False)[0]

        self._value_and_gradient, self._moments = value_and_gradient, moments

    def step(self) -> Any:
        """ln p of all stars, and its gradient."""
        return jax.block_until_ready(self._value_and_gradient(self._xi, *self._arguments))

    def extinctions(self) -> np.ndarray:
        """A [mag] of all stars."""
        rays, batch, _ = self._arguments
        return np.asarray(self._moments(self._xi, rays, batch))

    def gradient(self) -> np.ndarray:
        """That in all coefficients of the series."""
        series = self.step()[1]["field"]["varying"]
        return np.concatenate([series["cos"], series["sin"]]).astype(np.float64)
