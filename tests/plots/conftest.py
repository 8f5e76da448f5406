import pytest
from tests.plots.products import make_history, make_map, make_stars

from dust3d.fields.modes import fourier_modes


@pytest.fixture
def truth():
    return make_map()


@pytest.fixture
def fit():
    return make_map(wave=0.6)


@pytest.fixture
def modes():
    return fourier_modes((4, 4, 2), True)


@pytest.fixture
def stars():
    return make_stars()


@pytest.fixture
def history():
    return make_history()
