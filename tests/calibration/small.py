"""A calibration small enough for a test."""

from dust3d.config.run import Config, load

TINY = {
    "mocks": 12,
    "per_job": 12,
    "stars": 60,
    "places": 8,
}


def tiny(repository) -> Config:
    """config/sbc.yaml with few mocks, few stars and a low order."""
    config = load(repository / "config" / "sbc.yaml").model_dump(mode="json")
    config["calibration"] |= TINY
    config["posterior"] |= {"samples": 15, "curvature_steps": 2}
    config["fits"]["fourier"]["orders"] = [[1, 1, 1]]
    config["prior"]["std"] = 0.5
    config["run"] = "tiny"
    return Config.model_validate(config)
