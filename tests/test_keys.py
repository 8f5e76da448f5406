import jax
import numpy as np

from dust3d.keys import generator_for, key_for


def test_same_seed_and_purpose_give_the_same_numbers():
    first, second = generator_for(7, "noise"), generator_for(7, "noise")
    np.testing.assert_array_equal(first.normal(size=5), second.normal(size=5))
    assert bool(jax.random.key_data(key_for(7, "noise")).tolist() == _data(7, "noise"))


def _data(seed, purpose):
    return jax.random.key_data(key_for(seed, purpose)).tolist()


def test_purposes_and_seeds_are_independent_streams():
    draws = np.array(
        [generator_for(s, p).normal(size=4000) for s in (1, 2) for p in ("noise", "positions")]
    )
    correlation = np.corrcoef(draws) - np.eye(4)
    assert np.abs(correlation).max() < 5 / np.sqrt(4000)
    keys = {tuple(_data(s, p)) for s in (1, 2) for p in ("noise", "positions")}
    assert len(keys) == 4
