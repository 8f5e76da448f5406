"""What comes out: maps, scores, figures."""

from typing import Annotated, Literal

from pydantic import Field

from dust3d.config.base import Count, Positive, Section


class Map(Section):
    """The grid that all maps of a run share; it covers the box."""

    cells: tuple[Annotated[int, Field(ge=4)], ...] = Field(description="Cells along each axis.")


class Scores(Section):
    """How fits are judged."""

    box_fraction: float = Field(
        default=0.8,
        ge=0.1,
        le=1,
        description="Part of each half-width inside which fields are compared.",
    )
    neighbours: Count = Field(default=20, description="Stars in the nearest-neighbour baseline.")
    shells: Count = Field(default=12, description="Shells of |k| and of distance.")
    pixel_nside: Literal[1, 2, 4, 8, 16] = Field(
        default=4,
        description="HEALPix pixels of the sky that count as independent in standard errors.",
    )


class Direction(Section):
    """A direction with a name, marked in figures."""

    name: str = Field(description="Shown in figures.")
    l_deg: float = Field(ge=-360, le=360, description="Galactic longitude.")
    b_deg: float = Field(ge=-90, le=90, description="Galactic latitude.")
    distance_kpc: Positive | None = Field(default=None, description="Published distance, if any.")


class Plots(Section):
    """Figures. Nothing here changes a fit."""

    dpi: int = Field(default=140, ge=40, le=600, description="Resolution of the figures.")
    colour_map: Literal["viridis", "plasma", "inferno", "magma", "cividis"] = Field(
        default="viridis",
        description="Colours of densities: one of matplotlib's perceptually uniform maps.",
    )
    slices_kpc: tuple[float, ...] = Field(
        default=(0.0,), description="Heights z of the slices shown."
    )
    sky_distances_kpc: tuple[Positive, ...] = Field(
        default=(),
        description="Distances to which the sky maps integrate; empty: 0.25, 0.5 and 0.8 of "
        "the box's largest half-width.",
    )
    animation: bool = Field(
        default=False,
        description="Make a film of each fit's training; needs optimiser.snapshots of 2 or more.",
    )
    marks: tuple[Direction, ...] = Field(default=(), description="Directions to mark.")
