"""The configuration: one complete YAML file per run, checked before any job starts.

The models of this package are the one truth about every key: its type, its unit
(in its name), bounds, default and description. `config/README.md` is made from
them. Read a file with `dust3d.config.run.load`; a stage imports only the modules
of the sections that it uses, so that an edit of the others reruns nothing.
"""
