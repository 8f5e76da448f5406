"""Real catalogues: files, columns, units; their cross-match; the choice of stars."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dust3d.config.base import Count, Finite, NonNegative, Positive, Section

Format = Literal["auto", "hdf5", "fits", "ecsv", "csv", "votable", "parquet", "fixed_width"]


class Table(Section):
    """A table in a file, and what its columns mean."""

    path: str = Field(min_length=1, description="File, absolute or from the project's root.")
    format: Format = Field(default="auto", description="File format; auto goes by the file's name.")
    columns: dict[str, str] = Field(
        default={},
        description="Our column name: the file's. Columns under common names need no entry.",
    )
    units: dict[str, str] = Field(
        default={},
        description="Our column name: unit, for files that state none (astropy's spelling).",
    )
    byte_columns: dict[str, tuple[Count, Count]] = Field(
        default={}, description="fixed_width only: column name: first and last byte, from 1."
    )

    @model_validator(mode="after")
    def _fixed_width_has_bytes(self):
        if (self.format == "fixed_width") != bool(self.byte_columns):
            raise ValueError("format fixed_width and byte_columns go together; set both or neither")
        for name, (first, last) in self.byte_columns.items():
            if last < first:
                raise ValueError(f"byte_columns.{name}: the last byte {last} is before {first}")
        return self


class JoinedTable(Table):
    """A second file with more columns of the same stars, which it knows by the same ids."""


class Catalogue(Table):
    """A catalogue with positions."""

    epoch_yr: float = Field(ge=1800, le=2200, description="Epoch of its positions, Julian year.")
    join: JoinedTable | None = Field(default=None, description="More columns from a second file.")


class SpectralTypeExcess(Section):
    """Extinction from spectral type and observed B-V: A_V = R_V ((B-V) - (B-V)_0)."""

    sequence: str = Field(description="Mean dwarf sequence (Pecaut & Mamajek 2013), as published.")
    r_v: Positive = Field(default=3.1, description="A_V / E(B-V).")
    classes: tuple[Literal["O", "B", "A", "F", "G", "K", "M"], ...] = Field(
        default=("O", "B", "A", "F"), description="Spectral classes to use."
    )
    luminosity_classes: tuple[Literal["V", "IV"], ...] = Field(
        default=("V", "IV"), description="Luminosity classes to use."
    )
    split_at_subtype: int | None = Field(
        default=5,
        ge=1,
        le=9,
        description="Give early and late subtypes of a class (A0-A4, A5-A9) zero "
        "points of their own by splitting here; none keeps whole classes.",
    )
    intrinsic_scatter_mag: NonNegative = Field(
        default=0.0,
        description="Scatter of intrinsic B-V within a type, added to its error in quadrature.",
    )


class Identifications(Section):
    """Published identifications, to measure a cross-match with."""

    path: str = Field(description="Table of pairs of ids.")
    astrometry_id: str = Field(default="source_id", description="Its column of astrometry ids.")
    extinction_id: str = Field(default="extinction_id", description="Its column of extinction ids.")


class Catalogues(Section):
    """The two catalogues of a real run."""

    astrometry: Catalogue = Field(description="Parallaxes and proper motions.")
    extinction: Catalogue = Field(description="Extinctions, or what they follow from.")
    excess: SpectralTypeExcess | None = Field(
        default=None,
        description="How extinctions follow from spectral types; none: the extinction "
        "catalogue has a column `extinction` (A_V) with its error.",
    )
    identifications: Identifications | None = Field(default=None, description="Known pairs.")


class Crossmatch(Section):
    """How stars of the two catalogues are paired."""

    radius_arcsec: Positive = Field(default=1.0, description="Largest separation of a pair.")
    missing_motion_mas_per_yr: NonNegative = Field(
        default=100.0,
        description="Proper motion by which the radius of a star without one is widened.",
    )
    ambiguity_ratio: Annotated[float, Field(ge=1)] = Field(
        default=3.0,
        description="A pair is ambiguous if another candidate lies within this many times "
        "its separation and inside the radius.",
    )
    drop_ambiguous: bool = Field(default=False, description="Leave ambiguous pairs out of the fit.")
    shifted_skies: int = Field(
        default=4,
        ge=0,
        description="Shifted copies of the sky that measure the rate of chance pairs.",
    )


class Selection(Section):
    """Which matched stars are used. Never by their extinction or its sign."""

    max_distance_kpc: Positive | None = Field(
        default=None, description="Farthest star; none: the box."
    )
    box_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.85, description="Stars outside this part of the box are left out: it is periodic."
    )
    parallax_zero_point_mas: Finite = Field(
        default=0.0, description="Subtracted from every parallax (Gaia DR3: about -0.035)."
    )
    distance_scale_kpc: Positive = Field(
        default=1.35,
        description="Length scale L of the distance prior r^2 exp(-r / L) (Bailer-Jones 2015).",
    )
    max_relative_distance_error: Positive = Field(
        default=0.2, description="Largest predicted relative error of distance."
    )
    max_parallax_disagreement_sigma: Positive | None = Field(
        default=None, description="Largest difference of the two catalogues' parallaxes in sigma."
    )
    max_extinction_error_mag: Positive | None = Field(
        default=None, description="Largest stated error of A_V."
    )
    classes: tuple[str, ...] | None = Field(default=None, description="Classes to use; none: all.")


class Heldout(Section):
    """Stars kept from every fit, to score it with."""

    fraction: Annotated[float, Field(gt=0, le=0.9)] = Field(
        default=0.1, description="Share of the stars."
    )
    by: Literal["random", "healpix"] = Field(
        default="random", description="Star by star, or whole HEALPix pixels of the sky."
    )
    nside: Literal[1, 2, 4, 8, 16, 32, 64] = Field(
        default=16, description="HEALPix resolution of the pixels."
    )
