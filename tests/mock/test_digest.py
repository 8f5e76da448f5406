"""The digest of a truth: rounding leaves it, another sky has another, a wrong one is refused."""

from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import pytest

from dust3d.config.base import Box
from dust3d.config.mock import FourierTruth
from dust3d.config.run import load
from dust3d.errors import ConfigError
from dust3d.mock.digest import check_digest, truth_digest
from dust3d.mock.truths import draw_truth

BOX = Box(half_widths_kpc=(1.0, 1.0, 0.3))
TRUTH = FourierTruth(kind="fourier", order=(3, 3, 1))
SUITE = sorted((Path(__file__).resolve().parents[2] / "config" / "mocks").glob("*.yaml"))


def test_rounding_leaves_the_digest_and_a_change_does_not():
    field = draw_truth(TRUTH, BOX, 3)
    digest = truth_digest(field, BOX)
    assert len(digest) == 16
    for change, same in ((1e-12, True), (1e-3, False)):
        mean = field.parts[0].ln_density + change
        other = eqx.tree_at(lambda f: f.parts[0].ln_density, field, jnp.asarray(mean))
        assert (truth_digest(other, BOX) == digest) is same
    assert truth_digest(draw_truth(TRUTH, BOX, 4), BOX) != digest


def test_another_digest_than_the_stated_one_is_refused():
    check_digest("0" * 16, None)
    check_digest("0" * 16, "0" * 16)
    with pytest.raises(ConfigError, match=r"truth_digest = 1111111111111111.*0000000000000000"):
        check_digest("0" * 16, "1" * 16)


@pytest.mark.parametrize("path", SUITE, ids=lambda p: p.stem)
def test_the_suite_makes_the_truths_that_it_states(path):
    config = load(path)
    if config.mock is not None:
        stated = config.mock.truth_digest
        assert stated is not None
        assert (
            truth_digest(draw_truth(config.mock.truth, config.box, config.seed), config.box)
            == stated
        )


def test_the_twin_has_the_dust_of_the_bubble():
    runs = {path.stem: load(path) for path in SUITE}
    twin, bubble = runs["twin"], runs["bubble"]
    assert twin.mock is not None
    assert bubble.mock is not None
    assert (twin.seed, twin.box, twin.mock.truth) == (bubble.seed, bubble.box, bubble.mock.truth)


def test_the_real_run_and_the_empty_one_have_the_settings_of_the_twin():
    runs = {path.stem: load(path) for path in SUITE}
    for key in ("box", "heldout", "fits", "prior", "likelihood", "rays", "optimiser", "posterior"):
        for other in ("real", "empty"):
            assert getattr(runs[other], key) == getattr(runs["twin"], key), key
    assert runs["empty"].mock is not None
    assert runs["twin"].mock is not None
    assert runs["empty"].mock.stars == runs["twin"].mock.stars
    assert runs["empty"].mock.extinction == runs["twin"].mock.extinction
