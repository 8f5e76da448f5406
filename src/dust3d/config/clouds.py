"""Clouds of known distance, to be looked for in a map."""

from typing import Annotated

from pydantic import Field, model_validator

from dust3d.config.base import Count, Positive, PositiveRange, Section


class Cloud(Section):
    """A cloud, as it was published."""

    name: str = Field(min_length=1, description="Shown in tables.")
    l_deg: float = Field(ge=-360, le=360, description="Galactic longitude.")
    b_deg: float = Field(ge=-90, le=90, description="Galactic latitude.")
    distance_kpc: Positive = Field(description="Published distance.")


class Clouds(Section):
    """A list of clouds, fixed before the fit, and how each is looked for: all in the same way.

    The density is averaged over a cone about the cloud's direction; its distance is that of the
    highest peak inside `window_kpc`, sample by sample. The same is done with all directions turned
    in longitude, where there is no cloud of that distance but by chance.
    """

    window_kpc: PositiveRange = Field(description="Distances between which peaks are looked for.")
    radius_deg: Annotated[float, Field(gt=0, le=20)] = Field(
        default=2.0, description="Radius of the cone."
    )
    contrast: Positive = Field(
        default=2.0,
        description="A peak counts where its density is this many times the median, over all "
        "turned directions, at the same latitude and distance.",
    )
    turns: Count = Field(default=11, description="Turned skies, at equal steps of longitude.")
    targets: tuple[Cloud, ...] = Field(min_length=1, description="The clouds.")

    @model_validator(mode="after")
    def _names_differ(self):
        names = [cloud.name for cloud in self.targets]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two clouds are called {name!r}; give each its own name")
        for cloud in self.targets:
            low, high = self.window_kpc
            if not low < cloud.distance_kpc < high:
                raise ValueError(
                    f"the published distance of {cloud.name} ({cloud.distance_kpc:g} kpc) is not "
                    f"inside window_kpc ({low:g} to {high:g}); widen the window or leave it out"
                )
        return self
