"""A complete run on real stars, on a subset: near ones, one low order."""

import json

import pytest
import yaml


@pytest.fixture(scope="module")
def real(tmp_path_factory, repository, data_folder, complete_run):
    """config/hipparcos.yaml with a smaller box, one low order and few epochs."""
    config = yaml.safe_load((repository / "config" / "hipparcos.yaml").read_text())
    text = yaml.safe_dump(config).replace(": data/", f": {data_folder}/")
    config = yaml.safe_load(text)
    config["box"]["half_widths_kpc"] = [0.3, 0.3, 0.3]
    config["selection"]["max_distance_kpc"] = 0.2
    config["fits"]["fourier"]["orders"] = [[4, 4, 4]]
    config["prior"]["std_scale_kpc"] = 0.15
    config["optimiser"] = {
        "method": {"kind": "adam", "epochs": 20, "batch": 2048},
        "newton": {"max_steps": 0},
    }
    config["map"]["cells"] = [24, 24, 24]
    near = [cloud for cloud in config["clouds"]["targets"] if cloud["distance_kpc"] < 0.2]
    config["clouds"] |= {"window_kpc": [0.06, 0.25], "turns": 3, "targets": near}
    config["plots"] |= {"dpi": 50, "slices_kpc": [0.0], "sky_distances_kpc": [0.1, 0.2]}
    folder = tmp_path_factory.mktemp("real")
    path = folder.parent / "real.yaml"
    path.write_text(yaml.safe_dump(config))
    return complete_run(folder, path)


class TestRealStars:
    """Gaia and Hipparcos out to 200 pc."""

    def test_known_pairs_are_found_and_right(self, real):
        known = json.loads((real.results / "scores" / "crossmatch.json").read_text())["known"]
        assert known["n"] > 20_000
        assert known["completeness"] >= 0.995
        assert known["purity"] >= 0.998

    def test_the_cuts_are_counted_down_to_what_is_left(self, real):
        report = json.loads((real.results / "scores" / "stars.json").read_text())
        left = report["n_matched"]
        for cut in report["cuts"]:
            left -= cut["removed"]
            assert left == cut["left"], cut["name"]
        assert report["n_train"] + report["n_heldout"] == left > 3000

    def test_the_map_beats_the_slab(self, real):
        scores = json.loads((real.results / "scores" / "fourier-4x4x4.json").read_text())
        assert "recovery" not in scores
        assert scores["heldout"]["baselines"]["slab"]["difference"] > 0

    def test_there_is_no_truth(self, real):
        assert not (real.results / "truth").exists()

    def test_each_cloud_of_the_list_is_in_the_table_found_or_not(self, real):
        found = json.loads((real.results / "scores" / "fourier-4x4x4-clouds.json").read_text())
        rows = (real.results / "scores" / "fourier-4x4x4-clouds.csv").read_text().splitlines()
        names = [cloud["name"] for cloud in found["clouds"]]
        assert names[:2] == ["Taurus", "Ophiuchus"]
        assert [row.split(",")[0] for row in rows[1:]] == names
        assert all(0.06 <= cloud["distance_kpc"] <= 0.25 for cloud in found["clouds"])
        assert found["of"] == len(names) == 7
        assert found["turned"]["skies"] == 3
