"""The configuration: one complete YAML file per run, checked before any job starts.

The models of this package are the one truth about every key: its type, its unit
(in its name), bounds, default and description. `config/README.md` is made from
them.
"""

from dust3d.config.run import Config, load, parse

__all__ = ["Config", "load", "parse"]
