"""The posterior that a fit maximises: prior x likelihood x rays, in whitened parameters."""

from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dust3d.fields.base import Field
from dust3d.inference.likelihood import Likelihood, Moment, Stars
from dust3d.inference.prior import Prior, Xi


@runtime_checkable
class Sightlines(Protocol):
    """A forward operator: from a field to the extinctions of a batch of stars.

    Where distances are uncertain, extinctions out to each cell of their posteriors: (n, cells).
    """

    batches: int

    def moments(self, field: Field, batch: Int[Array, ""], second: bool) -> tuple[Moment, Moment]:
        """int rho ds [mag] and, if `second`, int rho^2 ds [mag^2 / kpc]; else zeros."""
        ...


class Target(eqx.Module):
    """ln p(xi | stars) of xi = {"field": ..., "likelihood": ...}, up to a constant."""

    prior: Prior
    likelihood: Likelihood

    def start(self, key: Any) -> Xi:
        """Whitened parameters to begin with."""
        return {"field": self.prior.start(key), "likelihood": self.likelihood.start()}

    def log_prior(self, xi: Xi) -> Float[Array, ""]:
        """ln p(xi), up to a constant."""
        return self.prior.log_density(xi["field"]) + self.likelihood.log_prior(xi["likelihood"])

    def log_likelihood(
        self, xi: Xi, rays: Sightlines, batch: Int[Array, ""], stars: Stars
    ) -> Float[Array, ""]:
        """ln p(A_obs | xi) of the stars of one batch."""
        field = self.prior.field(xi["field"])
        first, second = rays.moments(field, batch, self.likelihood.needs_second_moment)
        nuisance = self.likelihood.nuisance(xi["likelihood"])
        return jnp.sum(
            stars.weight * self.likelihood.log_likelihood(nuisance, first, second, stars)
        )
