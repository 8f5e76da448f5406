"""The likelihood of measured extinctions, with the scatter that catalogues do not state.

sigma^2 = f^2 sigma_star^2 + s0^2 + c int rho^2 ds: the stated errors times an
inflation f, a floor s0, and a term for structure finer than the field can follow,
which grows with the dust crossed. The mean is A + R_V delta_class.
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dust3d.config.model import Likelihood as LikelihoodSettings
from dust3d.config.model import Parameter
from dust3d.conventions import R_V
from dust3d.inference.prior import Xi, white_log_density


class Stars(NamedTuple):
    """Measured stars of a batch; `weight` is 0 for rows that only fill it up."""

    extinction: Float[Array, " n"]
    sigma: Float[Array, " n"]
    classes: Int[Array, " n"]
    weight: Float[Array, " n"]


class Nuisance(NamedTuple):
    """What the likelihood fits beside the field."""

    error_inflation: Float[Array, ""]
    floor_mag: Float[Array, ""]
    substructure_kpc: Float[Array, ""]
    zero_points_mag: Float[Array, " classes"]


_SCATTER = ("error_inflation", "floor_mag", "substructure_kpc")


class Likelihood(eqx.Module):
    """Gaussian or Student-t likelihood of A_obs given A and int rho^2 ds.

    Parameters
    ----------
    settings
        The section `likelihood` of the configuration.
    n_classes
        Number of classes of stars.
    """

    settings: LikelihoodSettings = eqx.field(static=True)
    n_classes: int = eqx.field(static=True)
    dtype: Any = eqx.field(static=True)

    def _parameter(self, name: str) -> Parameter | None:
        return getattr(self.settings, name)

    @property
    def needs_second_moment(self) -> bool:
        """Whether int rho^2 ds enters sigma."""
        return self.settings.substructure_kpc is not None

    @property
    def fits_zero_points(self) -> bool:
        """Whether classes have zero points."""
        return self.settings.zero_point_std_mag > 0

    def start(self) -> Xi:
        """Whitened parameters at their prior medians."""
        zero = jnp.zeros((), self.dtype)
        fitted = {n: p for n in _SCATTER if (p := self._parameter(n)) is not None and p.fit}
        xi = dict.fromkeys(fitted, zero)
        if self.fits_zero_points:
            xi["zero_points"] = jnp.zeros(self.n_classes, self.dtype)
        return xi

    def nuisance(self, xi: Xi) -> Nuisance:
        """The parameters themselves."""
        values = []
        for name in _SCATTER:
            parameter = self._parameter(name)
            if parameter is None:
                values.append(jnp.zeros((), self.dtype))
            else:
                step = parameter.ln_std * xi[name] if parameter.fit else 0.0
                values.append(jnp.asarray(parameter.median * jnp.exp(step), self.dtype))
        if self.fits_zero_points:
            zero_points = R_V * self.settings.zero_point_std_mag * xi["zero_points"]
        else:
            zero_points = jnp.zeros(self.n_classes, self.dtype)
        inflation, floor, substructure = values
        return Nuisance(inflation, floor, substructure, zero_points)

    def whiten(self, values: dict[str, Any], class_names: tuple[str, ...]) -> Xi:
        """xi of parameters as `fit.json` states them (section `likelihood`)."""
        xi = self.start()
        for name in _SCATTER:
            parameter = self._parameter(name)
            if name in xi and parameter is not None and values.get(name):
                ratio = np.log(values[name] / parameter.median) / parameter.ln_std
                xi[name] = jnp.asarray(ratio, self.dtype)
        if "zero_points" in xi:
            known = values.get("zero_points_mag", {})
            found = [known.get(name, 0.0) for name in class_names]
            scale = R_V * self.settings.zero_point_std_mag
            xi["zero_points"] = jnp.asarray(np.asarray(found) / scale, self.dtype)
        return xi

    def log_prior(self, xi: Xi) -> Float[Array, ""]:
        """ln p(xi), up to a constant."""
        return white_log_density(xi) if xi else jnp.zeros((), self.dtype)

    def moments(
        self,
        nuisance: Nuisance,
        extinction: Float[Array, " n"],
        second: Float[Array, " n"],
        stars: Stars,
    ) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """Expected A_obs [mag] and variance [mag^2] of each star.

        Parameters
        ----------
        nuisance
            Scatter and zero points.
        extinction, second
            int rho ds [mag] and int rho^2 ds [mag^2 / kpc].
        stars
            The measured stars.
        """
        mean = extinction + nuisance.zero_points_mag[stars.classes]
        variance = (
            (nuisance.error_inflation * stars.sigma) ** 2
            + nuisance.floor_mag**2
            + nuisance.substructure_kpc * second
        )
        return mean, variance

    def log_density(
        self, observed: Float[Array, " n"], mean: Float[Array, " n"], variance: Float[Array, " n"]
    ) -> Float[Array, " n"]:
        """ln p(A_obs) of each star [ln(1 / mag)]."""
        chi2 = (observed - mean) ** 2 / variance
        if self.settings.kind == "gaussian":
            return -0.5 * (chi2 + jnp.log(2 * np.pi * variance))
        nu = self.settings.degrees_of_freedom
        constant = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - 0.5 * math.log(nu * math.pi)
        return constant - 0.5 * jnp.log(variance) - (nu + 1) / 2 * jnp.log1p(chi2 / nu)

    def fisher(self, variance: Float[Array, " n"]) -> tuple[Float[Array, " n"], float]:
        """Fisher information of one star about its mean and about ln of its variance.

        For Student-t: Lange, Little & Taylor (1989), appendix B.
        """
        if self.settings.kind == "gaussian":
            return 1 / variance, 0.5
        nu = self.settings.degrees_of_freedom
        return (nu + 1) / (nu + 3) / variance, 0.5 * nu / (nu + 3)
