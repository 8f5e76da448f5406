"""Fields on disk: one HDF5 group per field, one dataset per array.

Only classes that the package knows are ever made, from arrays and plain values:
nothing in a file is executed.
"""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np

from dust3d.conventions import FIELD_FORMAT
from dust3d.errors import ProductError
from dust3d.fields.base import Field
from dust3d.fields.known import registered_fields
from dust3d.io.hdf5 import group_in, read_attrs, reading, tuples, write_attrs, writing

_LARGEST = 1e6
"""No amplitude of ln rho, no length [kpc] and no wave number [1 / kpc] is larger."""


def _write(group: h5py.Group, field: Field) -> None:
    name = type(field).__name__
    if registered_fields().get(name) is not type(field):
        raise ValueError(f"{name} could not be opened again: decorate it with register_field")
    group.attrs["class"] = name
    for item in dataclasses.fields(field):
        value = getattr(field, item.name)
        if value is None:
            continue
        if isinstance(value, Field):
            _write(group.create_group(item.name), value)
        elif isinstance(value, jax.Array | np.ndarray):
            group.create_dataset(item.name, data=np.asarray(value))
        elif isinstance(value, tuple) and value and isinstance(value[0], Field):
            parts = group.create_group(item.name)
            for i, part in enumerate(value):
                _write(parts.create_group(str(i)), part)
        elif isinstance(value, tuple) and value and isinstance(value[0], jax.Array | np.ndarray):
            parts = group.create_group(item.name)
            for i, part in enumerate(value):
                parts.create_dataset(str(i), data=np.asarray(part))
        else:
            group.attrs[item.name] = json.dumps(value)


def _read_item(item: Any, path: Path) -> Any:
    if not isinstance(item, h5py.Group):
        return np.asarray(item)
    if "class" in item.attrs:
        return _read(item, path)
    return tuple(_read_item(item[str(i)], path) for i in range(len(item)))


def _read(group: h5py.Group, path: Path) -> Field:
    name, known = str(group.attrs.get("class")), registered_fields()
    if name not in known:
        raise ProductError(
            f"{path}: holds a field of unknown class {name!r}; known are "
            f"{', '.join(sorted(known))}; make it again, or use the dust3d that wrote it"
        )
    cls = known[name]
    values: dict[str, Any] = {}
    for item in dataclasses.fields(cls):
        if item.name in group:
            values[item.name] = _read_item(group[item.name], path)
        elif item.name in group.attrs:
            values[item.name] = tuples(json.loads(str(group.attrs[item.name])))
    _check_order(path, values)
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise ProductError(
            f"{path}: the {name} in it cannot be made: {error}; delete it and run again"
        ) from error


def _check_order(path: Path, values: dict[str, Any]) -> None:
    """Refuse an order of far more modes than there are coefficients, before they are listed."""
    order = values.get("order")
    if isinstance(order, tuple):
        # a thin ellipsoid of modes fills an eighteenth of its box, and half of that is kept
        box = math.prod(2 * int(m) + 1 for m in order)
        most = max((v.size for v in values.values() if isinstance(v, np.ndarray)), default=0)
        if box > 64 * (most + 100):
            raise ProductError(
                f"{path}: a field of order {order} with {most} coefficients; delete it and run "
                "again"
            )


def save_field(path: str | Path, field: Field, attrs: dict[str, Any]) -> None:
    """Write a field with attributes (JSON-able values).

    Raises
    ------
    ValueError
        If the class of the field, or of a part of it, is not registered.
    """
    with writing(path, FIELD_FORMAT) as file:
        write_attrs(file, attrs)
        _write(file.create_group("field"), field)


def load_field(path: str | Path) -> tuple[Field, dict[str, Any]]:
    """A field and its attributes.

    Raises
    ------
    ProductError
        If the file is missing, damaged, of another format, or holds an unknown class.
    """
    path = Path(path)
    with reading(path, FIELD_FORMAT) as file:
        field = _read(group_in(file, "field"), path)
        attrs = read_attrs(file)
    for leaf in jax.tree.leaves(field):
        values = np.asarray(leaf)
        if values.dtype.kind not in "fiu" or not np.all(np.isfinite(values)):
            raise ProductError(f"{path}: the field has values that are not finite; fit it again")
        if np.any(np.abs(values) > _LARGEST):
            raise ProductError(f"{path}: the field has values beyond {_LARGEST:g}; fit it again")
    return field, attrs
