"""How well a field is known: samples of the posterior of a finished fit."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from dust3d import runtime
from dust3d.config.posterior import Posterior
from dust3d.errors import FitError
from dust3d.fields.sum import SumField
from dust3d.inference.iterative import sampled_preconditioner
from dust3d.inference.posterior import PosteriorSampler, Sample
from dust3d.inference.prior import SumPrior
from dust3d.inference.settings import FitSettings
from dust3d.inference.spread import resolved_variance, series_variance
from dust3d.inference.target import Target
from dust3d.io.samples import PriorVariance, Samples, joined_samples, load_samples, save_samples
from dust3d.keys import key_for
from dust3d.progress import Progress
from dust3d.provenance import file_digest, provenance
from dust3d.stages.fit_maximum_products import Maximum, at_maximum, summary_of
from dust3d.stages.fit_start import fourier_part

_HEIGHTS = 257


def _prior_variance(settings: FitSettings, target: Target) -> PriorVariance:
    box = settings.box
    heights = (
        np.linspace(-box.half_widths_kpc[2], box.half_widths_kpc[2], _HEIGHTS)
        if box.ndim == 3
        else np.zeros(1)
    )
    assert isinstance(target.prior, SumPrior)
    whole = settings.prior.std**2 if settings.prior.std_scale_kpc is not None else 0.0
    beyond = max(0.0, whole - series_variance(target.prior.parts["varying"]))
    return PriorVariance(heights, resolved_variance(target.prior, heights), beyond)


def _sampler(maximum: Maximum, posterior: Posterior) -> PosteriorSampler:
    """What draws samples of the posterior around the maximum of a fit."""
    products, flat, feed = maximum.products(), maximum.flat, maximum.feed
    precondition = sampled_preconditioner(
        products,
        flat,
        maximum.sample(posterior.block_parameters),
        nodes=maximum.sample_nodes,
        block=posterior.block_parameters,
        seed=feed.seed,
    )
    sampler = PosteriorSampler(
        products,
        flat,
        precondition,
        tolerance=posterior.tolerance,
        most=posterior.max_products,
        steps=posterior.curvature_steps,
    )
    # the same in all jobs of a fit
    key, rounds = key_for(feed.seed, f"centre of {feed.settings.name}"), posterior.centre_rounds
    return sampler.centred(key, pairs=posterior.centre_pairs, rounds=rounds)


def _drawn(
    name: str, sampler: PosteriorSampler, numbers: Sequence[int], seed: int, largest_miss: float
) -> list[Sample]:
    progress = Progress(f"{name}: samples", len(numbers))
    drawn: list[Sample] = []
    for number in numbers:
        drawn.append(sampler.draw(key_for(seed, f"sample {number} of {name}")))
        progress.update(products=float(drawn[-1].products), missed=drawn[-1].missed)
        if not bool(jnp.all(jnp.isfinite(drawn[-1].flat))):
            raise FitError(f"{name}: a sample is not finite; is the fit at its maximum?")
        if drawn[-1].missed > largest_miss:
            raise FitError(
                f"{name}: sample {number} still misses its noise by {drawn[-1].missed:.2g} (limit "
                f"{largest_miss:.2g}): the posterior is too curved for so few corrections; raise "
                "posterior.curvature_steps, or posterior.largest_miss"
            )
    progress.close()
    return drawn


def sample(
    *,
    fit: str | Path,
    train: str | Path,
    heldout: str | Path,
    output: str | Path,
    settings: Mapping[str, Any],
    posterior: Mapping[str, Any],
    part: int,
    seed: int,
    source: str,
) -> None:
    """Draw one part of the samples of a fit.

    Parameters
    ----------
    fit
        `field.h5` of the fit; `fit.json` lies beside it.
    train, heldout
        The stars of the fit, and those kept from it.
    output
        Where the samples go.
    settings
        Of the fit, as `Config.fit_settings` gives them.
    posterior
        The section of the configuration.
    part
        Which samples: `per_job` from `part * per_job` on, up to `samples`.
    seed, source
        Of the run and of the stage.

    Raises
    ------
    FitError
        If a sample misses the tolerance, or is not finite.
    ProductError
        If the fit is damaged, or is no Fourier series.
    """
    parsed, wanted = FitSettings.parse(settings).in_cosines(), Posterior.model_validate(posterior)
    fit, output = Path(fit), Path(output)
    runtime.configure()
    name = summary_of(fit, "samples around it are not those of the posterior")["name"]
    numbers = range(wanted.samples)[part * wanted.per_job : (part + 1) * wanted.per_job]
    origin = provenance(settings=settings, source=source, seed=seed)
    inputs = {"fit": file_digest(fit), "train": file_digest(train)}
    of_stars = {"fit": fit, "train": train, "heldout": heldout}
    made_of = {"settings": settings, "seed": seed, "source": source, "inputs": inputs}
    title = f"samples-{part}"
    with at_maximum(parsed, **of_stars, title=title, seed=seed, made_of=made_of) as maximum:
        drawn = _drawn(name, _sampler(maximum, wanted), numbers, seed, wanted.largest_miss)
        target, xi, names = maximum.target, maximum.xi, maximum.feed.train.class_names
    _, unravel = ravel_pytree(xi)
    places = [unravel(one.flat) for one in drawn]
    nuisances = [target.likelihood.nuisance(place["likelihood"])._asdict() for place in places]
    attrs = {
        "name": name,
        "half_widths_kpc": list(parsed.box.half_widths_kpc),
        "provenance": origin | {"inputs": inputs, "device": runtime.device_name()},
    }
    save_samples(
        output,
        Samples(
            [target.prior.field(place["field"]) for place in places],
            {key: np.stack([np.asarray(n[key]) for n in nuisances]) for key in nuisances[0]},
            names,
            _prior_variance(parsed, target),
            {
                "products": np.asarray([one.products for one in drawn]),
                "missed": np.asarray([one.missed for one in drawn]),
            },
            attrs,
        ),
    )


def collect(
    *, fit: str | Path, parts: Sequence[str | Path], output: str | Path, source: str = ""
) -> None:
    """All samples of a fit in one file.

    Parameters
    ----------
    fit, parts
        `field.h5`, and the samples around it.
    output
        Where they go.
    source
        Of the stage.

    Raises
    ------
    ProductError
        If a part is damaged, or of another fit.
    """
    runtime.configure()
    series, mean = fourier_part(fit)
    found = [load_samples(path, SumField((series, mean))) for path in parts]
    attrs = {key: found[0].attrs[key] for key in ("name", "half_widths_kpc", "provenance")}
    save_samples(output, joined_samples(found, attrs))
