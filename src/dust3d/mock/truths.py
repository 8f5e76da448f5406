"""The dust of a mock: a known field of ln rho, drawn from the configuration and a seed."""

import jax.numpy as jnp
import numpy as np

from dust3d.config.base import Box
from dust3d.config.mock import (
    Cavity,
    Clouds,
    FourierTruth,
    StructuredTruth,
    Turbulence,
    UniformTruth,
)
from dust3d.errors import ConfigError
from dust3d.fields import structured
from dust3d.fields.base import Field
from dust3d.fields.fourier import FourierField
from dust3d.fields.mean import ConstantMean
from dust3d.fields.modes import fourier_modes, spectrum, wavenumbers
from dust3d.fields.sum import SumField
from dust3d.keys import generator_for

_TRIES = 1000

Truth = FourierTruth | StructuredTruth | UniformTruth


def draw_truth(truth: Truth, box: Box, seed: int) -> Field:
    """The dust of a mock.

    Parameters
    ----------
    truth
        What kind of dust, and its parameters.
    box
        The box of the map; a Fourier truth is periodic in it.
    seed
        The run's seed.

    Returns
    -------
    A field of ln(rho / (mag / kpc)) in double precision.

    Raises
    ------
    ConfigError
        If clouds are too large for the box.
    """
    match truth:
        case FourierTruth():
            return _fourier(truth, box, seed)
        case StructuredTruth():
            return _structured(truth, box, seed)
        case UniformTruth():
            return ConstantMean(jnp.asarray(np.log(truth.density_mag_per_kpc)))


def relative_amplitudes(
    modes: np.ndarray,
    half_widths: tuple[float, ...],
    slope: float,
    outer_scale_kpc: float | None,
) -> np.ndarray:
    """(k0^2 + k^2)^(-slope / 2) of each mode, with k = pi m / L and k0 = 2 pi / outer scale.

    Wave numbers are in 1 / kpc; the unit matters only where the mean is drawn, as a
    mode of k = 1.
    """
    k = wavenumbers(modes, half_widths)
    return spectrum(k, slope=slope, outer_scale_kpc=outer_scale_kpc)


def _series(
    power: FourierTruth | Turbulence,
    ball: bool,
    half_widths: tuple[float, ...],
    amplitudes: np.ndarray,
    rng: np.random.Generator,
) -> FourierField:
    cos, sin = amplitudes * rng.standard_normal((2, len(amplitudes)))
    return FourierField(power.order, half_widths, jnp.asarray(cos), jnp.asarray(sin), ball)


def _fourier(truth: FourierTruth, box: Box, seed: int) -> Field:
    """Coefficients N(0, N^2 s(k)^2), with the expected variance of ln rho equal to std^2.

    At any point the variance is N^2 sum s^2, since cos^2 + sin^2 = 1; with a drawn
    mean, one more mode of s = 1, it is N^2 (1 + sum s^2), as in the original experiment.
    """
    modes = fourier_modes(truth.order, truth.ball)
    amplitudes = relative_amplitudes(modes, box.half_widths_kpc, truth.slope, truth.outer_scale_kpc)
    norm = truth.std / np.sqrt(np.sum(amplitudes**2) + (1 if truth.draw_mean else 0))
    rng = generator_for(seed, "mock: coefficients of the truth")
    series = _series(truth, truth.ball, box.half_widths_kpc, norm * amplitudes, rng)
    mean = np.log(truth.mean_density_mag_per_kpc)
    if truth.draw_mean:
        mean += norm * generator_for(seed, "mock: mean of the truth").standard_normal()
    return SumField((ConstantMean(jnp.asarray(mean)), series))


def _structured(truth: StructuredTruth, box: Box, seed: int) -> Field:
    """Disc x turbulence x cavity + shell + clouds + filaments."""
    ln_midplane = float(np.log(truth.disc.midplane_density_mag_per_kpc))
    factors: list[Field] = []
    if truth.turbulence is not None and truth.turbulence.std > 0:
        factors.append(_turbulence(truth.turbulence, box, seed))
        # the mean of exp(N(0, s^2)) is exp(s^2 / 2): the layer keeps its stated mean density
        ln_layer = ln_midplane - truth.turbulence.std**2 / 2
    else:
        ln_layer = ln_midplane
    disc = truth.disc
    factors.append(
        structured.Disc(
            *(jnp.asarray(v) for v in (ln_layer, disc.offset_kpc, disc.scale_height_kpc))
        )
    )
    added: list[Field] = []
    empty_kpc = 0.0
    if truth.cavity is not None:
        factors.append(_cavity(truth.cavity))
        added += _shell(truth.cavity, ln_midplane)
        empty_kpc = truth.cavity.radius_kpc
    for settings, kind in ((truth.clouds, "clouds"), (truth.filaments, "filaments")):
        if settings.number > 0:
            rng = generator_for(seed, f"mock: {kind} of the truth")
            stretched = kind == "filaments"
            added.append(_clouds(settings, stretched, box, ln_midplane, empty_kpc, rng))
    return structured.StructuredField(tuple(factors), tuple(added))


def _turbulence(turbulence: Turbulence, box: Box, seed: int) -> FourierField:
    half_widths = tuple(turbulence.box_factor * h for h in box.half_widths_kpc)
    modes = fourier_modes(turbulence.order)
    amplitudes = relative_amplitudes(
        modes, half_widths, turbulence.slope, turbulence.outer_scale_kpc
    )
    norm = turbulence.std / np.sqrt(np.sum(amplitudes**2))
    rng = generator_for(seed, "mock: turbulence of the truth")
    return _series(turbulence, True, half_widths, norm * amplitudes, rng)


def _cavity(cavity: Cavity) -> structured.Cavity:
    values = (cavity.interior_ratio, cavity.radius_kpc, cavity.shell_thickness_kpc)
    return structured.Cavity(*(jnp.asarray(v) for v in values))


def _shell(cavity: Cavity, ln_midplane: float) -> list[Field]:
    if cavity.shell_ratio == 0:
        return []
    ln_peak = ln_midplane + np.log(cavity.shell_ratio)
    values = (ln_peak, cavity.radius_kpc, cavity.shell_thickness_kpc)
    return [structured.Shell(*(jnp.asarray(v) for v in values))]


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float], n: int) -> np.ndarray:
    return np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]), n))


def _unit_vectors(rng: np.random.Generator, n: int, ndim: int) -> np.ndarray:
    vectors = rng.standard_normal((n, ndim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _clouds(
    clouds: Clouds,
    stretched: bool,
    box: Box,
    ln_midplane: float,
    empty_kpc: float,
    rng: np.random.Generator,
) -> structured.Filaments:
    """Clouds anywhere in the box, but for those over the Sun or in the cavity.

    A cloud over the Sun would darken every star, so that clouds reaching there with
    two sigma are drawn again.
    """
    half_widths, n = np.asarray(box.half_widths_kpc), clouds.number
    ln_peak = ln_midplane + np.log(_log_uniform(rng, clouds.peak_ratio, n))
    sigma = _log_uniform(rng, clouds.radius_kpc, n)
    length = rng.uniform(*clouds.length_kpc, n) if stretched else np.zeros(n)
    half = 0.5 * length[:, None] * _unit_vectors(rng, n, box.ndim)
    middle, wrong = np.zeros((n, box.ndim)), np.ones(n, dtype=bool)
    for _ in range(_TRIES):
        wrong = _distance_to_sun(middle, half) - 2 * sigma < empty_kpc
        if not wrong.any():
            break
        middle[wrong] = half_widths * rng.uniform(-1, 1, (wrong.sum(), box.ndim))
    else:
        raise ConfigError(
            f"mock.truth.{'filaments' if stretched else 'clouds'}: {wrong.sum()} of {n} found no "
            "place in the box away from the Sun and the cavity; make them smaller"
        )
    return structured.Filaments(*(jnp.asarray(v) for v in (ln_peak, middle, half, sigma)))


def _distance_to_sun(middle: np.ndarray, half: np.ndarray) -> np.ndarray:
    length2 = np.sum(half**2, axis=1)
    along = -np.sum(middle * half, axis=1) / np.where(length2 > 0, length2, 1)
    return np.linalg.norm(middle + np.clip(along, -1, 1)[:, None] * half, axis=1)
