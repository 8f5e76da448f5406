"""The likelihood of measured extinctions, with the scatter that catalogues do not state.

sigma^2 = f^2 sigma_star^2 + s0^2 + c int rho^2 ds: the stated errors times an
inflation f, a floor s0, and a term for structure finer than the field can follow,
which grows with the dust crossed. The mean is A + R_V delta_class.

Where distances are uncertain, p(A_obs) is averaged over the distance posterior: a sum over its
cells (`DistanceCells`), each with its share, the extinction out to its mean distance, and, added to
sigma^2, the variance of the extinction inside it, from its slope along the ray.
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dust3d.config.model import Likelihood as LikelihoodSettings
from dust3d.config.model import Parameter
from dust3d.conventions import R_V
from dust3d.distances import cell_shares
from dust3d.inference.prior import Xi, white_log_density


class Cells(NamedTuple):
    """Mean distance in each cell of the distance posteriors, and the spread inside [kpc]."""

    distance: Float[Array, "n cells"]
    spread: Float[Array, "n cells"]


class Stars(NamedTuple):
    """Measured stars of a batch; `weight` is 0 for rows that only fill it up.

    With `cells` distances are uncertain, and extinctions have the shape (n, cells).
    """

    extinction: Float[Array, " n"]
    sigma: Float[Array, " n"]
    classes: Int[Array, " n"]
    weight: Float[Array, " n"]
    cells: Cells | None = None


Moment = Float[Array, " n"] | Float[Array, "n cells"]
Shares = Float[Array, " cells"] | Float[Array, "n cells"]


class Nuisance(NamedTuple):
    """What the likelihood fits beside the field."""

    error_inflation: Float[Array, ""]
    floor_mag: Float[Array, ""]
    substructure_kpc: Float[Array, ""]
    zero_points_mag: Float[Array, " classes"]


_SCATTER = ("error_inflation", "floor_mag", "substructure_kpc")


def _substructure(nuisance: Nuisance, second: Float[Array, "..."]) -> Float[Array, "..."]:
    """Variance from structure finer than the field [mag^2].

    Rays that undo the damping of their grid ring about sharp clouds, so that their int rho^2 ds can
    come out below 0; a variance below 0 has no logarithm.
    """
    return nuisance.substructure_kpc * jnp.maximum(second, 0)


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
        extinction: Moment,
        second: Moment,
        stars: Stars,
        shares: Shares | None = None,
    ) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """Expected A_obs [mag] and variance about the extinctions [mag^2] of each star.

        Of uncertain distances the average over their cells; `distance_variance` is not in it.

        Parameters
        ----------
        nuisance
            Scatter and zero points.
        extinction, second
            int rho ds [mag] and int rho^2 ds [mag^2 / kpc].
        stars
            The measured stars.
        shares
            Of the cells of uncertain distances; none: `cell_shares`, as before the measurement.
        """
        if extinction.ndim == 2:
            extinction = _averaged(extinction, shares)
            second = _averaged(second, shares)
        mean = extinction + nuisance.zero_points_mag[stars.classes]
        variance = (
            (nuisance.error_inflation * stars.sigma) ** 2
            + nuisance.floor_mag**2
            + _substructure(nuisance, second)
        )
        return mean, variance

    def distance_variance(
        self, extinction: Moment, stars: Stars, shares: Shares | None = None
    ) -> Float[Array, " n"] | float:
        """Variance of the extinction over the cells of each star's distance [mag^2]; 0 without."""
        if stars.cells is None or extinction.ndim == 1:
            return 0.0
        apart = (extinction - _averaged(extinction, shares)[:, None]) ** 2
        return _averaged(apart + _inside(extinction, stars.cells), shares)

    def components(
        self, nuisance: Nuisance, extinction: Moment, second: Moment, stars: Stars
    ) -> tuple[Float[Array, " cells"], Float[Array, "n cells"], Float[Array, "n cells"]]:
        """What p(A_obs) is a mixture of: shares, means [mag] and variances [mag^2].

        Parameters as of `moments`. One component where distances are taken as known.
        """
        if stars.cells is None or extinction.ndim == 1:
            mean, variance = self.moments(nuisance, extinction, second, stars)
            return jnp.ones(1, mean.dtype), mean[:, None], variance[:, None]
        mean = extinction + nuisance.zero_points_mag[stars.classes][:, None]
        own = (nuisance.error_inflation * stars.sigma) ** 2 + nuisance.floor_mag**2
        variance = own[:, None] + _substructure(nuisance, second)
        shares = jnp.asarray(cell_shares(mean.shape[1]), mean.dtype)
        return shares, mean, variance + _inside(extinction, stars.cells)

    def log_likelihood(
        self, nuisance: Nuisance, extinction: Moment, second: Moment, stars: Stars
    ) -> Float[Array, " n"]:
        """ln p(A_obs) of each star [ln(1 / mag)], averaged over its distance posterior.

        Parameters as of `moments`.
        """
        if stars.cells is None:
            mean, variance = self.moments(nuisance, extinction, second, stars)
            return self.log_density(stars.extinction, mean, variance)
        return jax.nn.logsumexp(self._joint(nuisance, extinction, second, stars), axis=1)

    def _joint(
        self, nuisance: Nuisance, extinction: Moment, second: Moment, stars: Stars
    ) -> Float[Array, "n cells"]:
        """ln p(A_obs, cell) of each star."""
        shares, mean, variance = self.components(nuisance, extinction, second, stars)
        return self.log_density(stars.extinction[:, None], mean, variance) + jnp.log(shares)

    def measured_shares(
        self, nuisance: Nuisance, extinction: Moment, second: Moment, stars: Stars
    ) -> Shares | None:
        """Probability that a star is in each cell of its distance, given A_obs; none without cells.

        Parameters as of `moments`.
        """
        if stars.cells is None:
            return None
        return jax.nn.softmax(self._joint(nuisance, extinction, second, stars), axis=1)

    def log_density(
        self,
        observed: Float[Array, "..."],
        mean: Float[Array, "..."],
        variance: Float[Array, "..."],
    ) -> Float[Array, "..."]:
        """ln p(A_obs) at a known distance [ln(1 / mag)]."""
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


def _averaged(values: Float[Array, "n cells"], shares: Shares | None) -> Float[Array, " n"]:
    if shares is None:
        shares = jnp.asarray(cell_shares(values.shape[1]), values.dtype)
    return jnp.sum(values * shares, axis=1)


def _inside(extinction: Float[Array, "n cells"], cells: Cells) -> Float[Array, "n cells"]:
    """Variance of the extinction inside each cell of the distance posterior [mag^2].

    The slope of A at a cell is the harmonic mean of those to its neighbours (van Leer 1974): that
    of a straight line, and little beside the edge of a cloud, where the cells themselves are apart.
    """
    step = jnp.diff(cells.distance, axis=1)
    rise = jnp.maximum(jnp.diff(extinction, axis=1), 0.0)
    slope = rise / jnp.where(step > 0, step, 1.0)
    low, high = slope[:, :-1], slope[:, 1:]
    both = low + high
    middle = 2 * low * high / jnp.where(both > 0, both, 1.0)
    slopes = jnp.concatenate([slope[:, :1], middle, slope[:, -1:]], axis=1)
    return (slopes * cells.spread) ** 2
