"""The errors that dust3d raises for the user to read.

Each message says what is wrong, where (file, column, row, key), and what to do.
A program that catches `Dust3dError` catches every mistake of its input, and
none of its own.
"""


class Dust3dError(Exception):
    """Something the user can put right; the message says how."""


class ConfigError(Dust3dError):
    """A configuration key is unknown, missing or out of bounds."""


class TableError(Dust3dError):
    """A star table cannot be read, or its contents cannot be used."""


class ProductError(Dust3dError):
    """A product of dust3d (field, map, history) is damaged or of another format."""


class UnitsError(Dust3dError):
    """A quantity has no unit, or one that does not fit."""


class FitError(Dust3dError):
    """A fit cannot go on (a loss that is not finite, a field that is too large)."""


class StorageError(Dust3dError):
    """The disk is full or the folder cannot be written."""


class ClusterError(Dust3dError):
    """A cluster cannot be used, or has not given a job what it promised."""
