"""The demo and the real run as they are shipped, held to what they promise. Minutes each."""

import json

import numpy as np
import pytest
import yaml

pytestmark = pytest.mark.slow


def scores_of(run, fit):
    return json.loads((run.results / "scores" / f"{fit}.json").read_text())


@pytest.fixture(scope="module")
def demo(tmp_path_factory, repository, complete_run):
    return complete_run(tmp_path_factory.mktemp("demo"), repository / "config" / "config.yaml")


@pytest.fixture(scope="module")
def stars(tmp_path_factory, repository, data_folder, complete_run):
    folder = tmp_path_factory.mktemp("hipparcos")
    text = (repository / "config" / "hipparcos.yaml").read_text()
    path = folder.parent / "hipparcos.yaml"
    path.write_text(text.replace(": data/", f": {data_folder}/"))
    assert yaml.safe_load(path.read_text())["run"] == "hipparcos"
    return complete_run(folder, path)


class TestDemo:
    """A Fourier truth half as fine again as the finest fit."""

    def test_the_best_order_finds_the_dust(self, demo):
        recovery = scores_of(demo, "fourier-10x10x2")["recovery"]
        assert recovery["correlation"] > 0.9
        shells = recovery["shells"]
        found, cut = np.asarray(shells["r"])[:3], np.asarray(shells["r_ceiling"])[:3]
        assert np.all(found > cut - 0.02)

    def test_each_order_is_better_than_the_one_below(self, demo):
        names = ["fourier-4x4x1", "fourier-6x6x2", "fourier-10x10x2"]
        found = [scores_of(demo, name) for name in names]
        for key in ("correlation",):
            assert np.all(np.diff([s["recovery"][key] for s in found]) > 0)
        densities = [s["heldout"]["log_predictive_density"]["mean"] for s in found]
        assert np.all(np.diff(densities) > 0)

    def test_the_fits_are_at_their_maxima_and_their_rays_exact_enough(self, demo):
        for name in ("fourier-4x4x1", "fourier-6x6x2", "fourier-10x10x2"):
            found = scores_of(demo, name)
            assert found["converged"] is True
            assert found["rays"]["error_sigma_p99"] <= 0.5
            assert found["heldout"]["width_fitted"] == pytest.approx(1, abs=0.08)


class TestRealStars:
    """Gaia and Hipparcos out to 500 pc."""

    def test_pairs_and_stars(self, stars):
        known = json.loads((stars.results / "scores" / "crossmatch.json").read_text())["known"]
        assert known["completeness"] >= 0.995
        assert known["purity"] >= 0.998
        report = json.loads((stars.results / "scores" / "stars.json").read_text())
        assert report["n_train"] + report["n_heldout"] >= 15_000

    def test_the_map_beats_its_rivals_on_stars_it_has_not_seen(self, stars):
        rivals = scores_of(stars, "fourier-32x32x32")["heldout"]["baselines"]
        assert rivals["neighbours"]["sigmas"] > 3
        assert rivals["slab"]["sigmas"] > 3

    def test_classes_at_equal_distance_agree(self, stars):
        for pair in scores_of(stars, "fourier-32x32x32")["zero_point_agreement"]["pairs"]:
            assert abs(pair["difference_ebv"]) < 0.005, pair

    @pytest.mark.parametrize("fit", ["fourier-16x16x16", "fourier-32x32x32"])
    def test_the_local_bubble_is_empty(self, stars, fit):
        bubble = scores_of(stars, fit)["local_bubble"]
        assert bubble["distances_kpc"][0] == 0.07
        assert bubble["sky_median_mag"][0] < 0.05

    def test_taurus_is_where_it_is_known_to_be(self, stars):
        """Zucker et al. (2020): l = 171.6, b = -15.8, 141 pc; and nothing much before 100 pc."""
        from astropy import units as u
        from astropy.coordinates import SkyCoord

        import dust3d

        distances = np.linspace(0.06, 0.3, 49)
        ray = SkyCoord(
            l=171.6 * u.deg, b=-15.8 * u.deg, distance=distances * u.kpc, frame="galactic"
        )
        density = dust3d.open_map(stars.results / "fits" / "fourier-32x32x32").density(ray)
        assert 0.10 < distances[np.argmax(density)] < 0.20
