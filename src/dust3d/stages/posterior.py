"""How well a field is known: samples of the posterior of a finished fit."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from dust3d import runtime
from dust3d.config.posterior import Posterior
from dust3d.determinism import set_deterministic
from dust3d.errors import FitError
from dust3d.fields.sum import SumField
from dust3d.files import scratch_folder
from dust3d.inference.build import target_for
from dust3d.inference.feed import Feed, Scratch
from dust3d.inference.iterative import sample_size, sampled_preconditioner
from dust3d.inference.memory import Budget
from dust3d.inference.posterior import PosteriorSampler, Sample
from dust3d.inference.prior import SumPrior, Xi, size_of
from dust3d.inference.products import Products
from dust3d.inference.settings import FitSettings
from dust3d.inference.spread import resolved_variance, series_variance
from dust3d.inference.target import Target
from dust3d.io.reports import read_json
from dust3d.io.samples import PriorVariance, Samples, joined_samples, load_samples, save_samples
from dust3d.keys import key_for
from dust3d.progress import Progress, logger
from dust3d.provenance import digest_of, file_digest, provenance
from dust3d.stages.fit_start import fourier_part, warm_start
from dust3d.stages.fit_tables import star_tables

_HEIGHTS = 257
_EXACT_BATCH = 16_384
# of the rays of the preconditioner, of those that are enough for extinctions
_NODES_OF_SAMPLE = 0.7
_FEWEST_NODES = 8


def _in_cosines(settings: FitSettings) -> FitSettings:
    """The same fit in cosines and sines, where its prior is white."""
    assert settings.fourier is not None
    return replace(settings, fourier=settings.fourier.model_copy(update={"form": "cos_sin"}))


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


def _sampler(
    feed: Feed, posterior: Posterior, target: Target, xi: Xi, nodes: int
) -> PosteriorSampler:
    """What draws samples of the posterior around the maximum of a fit."""
    adaptive = feed.settings.ray_method == "reference"
    if adaptive:
        batches = feed.exact(nodes, _EXACT_BATCH)
    else:
        batches = feed.finest(feed.last_choice(target.prior.field(xi["field"])))
    products, (flat, _) = Products(target, batches, xi), ravel_pytree(xi)
    block = posterior.block_parameters
    number = min(len(feed.train), sample_size(flat.size, block))
    precondition = sampled_preconditioner(
        products,
        flat,
        feed.train.take(0, number),
        nodes=max(_FEWEST_NODES, int(_NODES_OF_SAMPLE * nodes)),
        block=block,
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


def _drawn(name: str, sampler: PosteriorSampler, numbers: Sequence[int], seed: int) -> list[Sample]:
    progress = Progress(f"{name}: samples", len(numbers))
    drawn: list[Sample] = []
    for number in numbers:
        drawn.append(sampler.draw(key_for(seed, f"sample {number} of {name}")))
        progress.update(products=float(drawn[-1].products), missed=drawn[-1].missed)
        if not bool(jnp.all(jnp.isfinite(drawn[-1].flat))):
            raise FitError(f"{name}: a sample is not finite; is the fit at its maximum?")
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
    parsed, wanted = _in_cosines(FitSettings.parse(settings)), Posterior.model_validate(posterior)
    set_deterministic(parsed.deterministic)
    runtime.configure()
    fit, output = Path(fit), Path(output)
    summary = read_json(fit.with_name("fit.json"), ["name", "likelihood", "converged"])
    name = summary["name"]
    if not summary["converged"]:
        logger.warning(
            "%s: the fit is not at its maximum (converged: %s): samples around it are not those of "
            "the posterior; let it take more steps (optimiser.newton.max_steps)",
            name,
            summary["converged"],
        )
    numbers = range(wanted.samples)[part * wanted.per_job : (part + 1) * wanted.per_job]
    origin = provenance(settings=settings, source=source, seed=seed)
    inputs = {"fit": file_digest(fit), "train": file_digest(train)}
    with scratch_folder(output.parent, f"samples-{part}") as aside:
        stars, others = star_tables(parsed, aside, train, heldout, seed)
        with closing(stars), closing(others):
            target = target_for(parsed, len(stars.class_names), seed, parsed.dtype)
            xi = warm_start(parsed, stars.class_names, target, fit)
            scratch = Scratch(aside / "rays", digest_of([settings, seed, source, inputs]))
            budget = Budget(parsed.optimiser.stream, parsed.optimiser.memory_gb)
            feed = Feed(parsed, stars, others, seed, budget, size_of(xi), scratch)
            nodes = int(summary["rays"].get("nodes") or parsed.first_nodes(stars.reach_kpc))
            sampler = _sampler(feed, wanted, target, xi, nodes)
            drawn = _drawn(name, sampler, numbers, seed)
            names = stars.class_names
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
