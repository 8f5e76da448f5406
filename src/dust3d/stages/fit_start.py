"""Where a fit begins, if a fit of lower order was made before it."""

from pathlib import Path

import jax
import jax.numpy as jnp

from dust3d.errors import ProductError
from dust3d.fields.base import Field
from dust3d.fields.fourier import FourierField, change_order
from dust3d.fields.mean import ConstantMean
from dust3d.fields.sum import SumField, in_cosines
from dust3d.inference.original import Coefficients
from dust3d.inference.prior import FourierPrior, Xi
from dust3d.inference.settings import FitSettings
from dust3d.inference.target import Target
from dust3d.io.fields import load_field
from dust3d.io.reports import read_likelihood
from dust3d.stages.fit_job import Job


def fourier_part(path: str | Path) -> tuple[FourierField, Field]:
    """The series and the mean of a Fourier fit."""
    field, _ = load_field(path)
    if not isinstance(field, SumField) or len(field.parts) != 2:
        raise ProductError(f"{path}: not the field of a Fourier fit; fit it again")
    series, mean = (in_cosines(part) for part in field.parts)
    if not isinstance(series, FourierField):
        raise ProductError(f"{path}: not the field of a Fourier fit; fit it again")
    return series, mean


def coefficients(job: Job, path: str | Path) -> tuple[Coefficients, tuple[int, ...]]:
    """Coefficients and order of the fit below, for the original recipe.

    Raises
    ------
    ProductError
        If the field is damaged, or not that of a Fourier fit.
    """
    series, mean = fourier_part(path)
    assert isinstance(mean, ConstantMean)
    cast = {"cos": series.cos, "sin": series.sin, "mean": mean.ln_density}
    return {k: v.astype(job.settings.dtype) for k, v in cast.items()}, series.order


def warm_start(
    settings: FitSettings, class_names: tuple[str, ...], target: Target, path: str | Path
) -> Xi:
    """Whitened parameters of a Fourier fit of this order or a lower one, at this fit's order.

    Parameters
    ----------
    settings, class_names, target
        Of the fit that begins there.
    path
        `field.h5` of the other; `fit.json` lies beside it.

    Raises
    ------
    ProductError
        If the field or its summary is damaged, or not that of a Fourier fit.
    """
    series, mean = fourier_part(path)
    xi = target.start(jax.random.key(0))
    prior = target.prior.parts["varying"]
    assert isinstance(prior, FourierPrior)
    assert settings.fourier is not None
    raised = change_order(series, settings.order, settings.fourier.ball)
    xi["field"]["varying"] = prior.whiten(raised)
    xi["field"]["mean"] = target.prior.parts["mean"].whiten(mean)
    summary = read_likelihood(Path(path).with_name("fit.json"))
    xi["likelihood"] = target.likelihood.whiten(summary, class_names)
    return jax.tree.map(lambda a: jnp.asarray(a, settings.dtype), xi)
