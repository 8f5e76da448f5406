"""The whole configuration of a run, and how it is read."""

import math
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dust3d.config.agreement import Agreement
from dust3d.config.messages import explain
from dust3d.config.model import order_name
from dust3d.config.optimiser import Original
from dust3d.config.text import read
from dust3d.errors import ConfigError


class Config(Agreement):
    """A run: everything that decides its numbers and pictures."""

    def fit_names(self) -> list[str]:
        """Names of all fits: `fourier-10x10x2`, `mlp-64x64`, ..."""
        fourier = [f"fourier-{order_name(o)}" for o in self.fits.fourier.orders]
        return fourier + [f"mlp-{order_name(w)}" for w in self.fits.mlp.layers]

    def fourier_fits(self) -> list[str]:
        """Names of the fits that are Fourier series."""
        return [name for name in self.fit_names() if name.startswith("fourier-")]

    def sampled_fits(self) -> list[str]:
        """Names of the fits whose posterior is sampled: the Fourier series."""
        return self.fourier_fits() if self.posterior is not None else []

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
        fourier = self.fourier_fits()
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
