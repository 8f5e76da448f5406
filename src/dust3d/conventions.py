"""Units, names and numbers that all of dust3d shares (see CONVENTIONS.md).

Inside the package positions are heliocentric Galactic Cartesian [kpc], with x
towards l = 0, y towards l = 90 deg and z towards b = 90 deg; extinctions are
A_V [mag] unless a file says otherwise; densities are dA/ds [mag / kpc].
"""

FRAME = "heliocentric Galactic Cartesian: x to l = 0, y to l = 90 deg, z to b = 90 deg"
POSITION_UNIT = "kpc"
EXTINCTION_UNIT = "mag"
DENSITY_UNIT = "mag / kpc"
BAND = "V"

R_V = 3.1
"""A_V / E(B-V) of the diffuse interstellar medium (Cardelli, Clayton & Mathis 1989)."""

TABLE_PATH = "stars"
"""HDF5 path of the star table in every `stars/*.h5`."""

MAP_FORMAT = "dust3d-map"
FIELD_FORMAT = "dust3d-field"
HISTORY_FORMAT = "dust3d-history"
CHECKPOINT_FORMAT = "dust3d-checkpoint"
SAMPLES_FORMAT = "dust3d-samples"
RAYS_FORMAT = "dust3d-rays"
FORMAT_VERSION = 1

AXES = ("x", "y", "z")
