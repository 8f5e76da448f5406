"""Samples of a posterior on disk: the coefficients of each, tens of MB for a whole fit."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dust3d.conventions import SAMPLES_FORMAT
from dust3d.errors import ProductError
from dust3d.fields.base import Field
from dust3d.io.hdf5 import group_in, read_attrs, reading, write_attrs, writing

SAMPLES_FILE = "samples.h5"
"""Beside the `field.h5` of their fit."""


@dataclass(frozen=True)
class PriorVariance:
    """Prior variance of ln rho, at any x and y.

    Parameters
    ----------
    z_kpc, resolved
        Heights, and the variance of the fit's own modes and mean there.
    beyond
        Of modes finer than the fit's, which no sample has.
    """

    z_kpc: Float[np.ndarray, " h"]
    resolved: Float[np.ndarray, " h"]
    beyond: float


@dataclass(frozen=True)
class Samples:
    """Samples of the posterior of a fit.

    Parameters
    ----------
    fields
        One field for each.
    likelihood
        The likelihood's parameters by name, as `Nuisance` has them; first axis: samples.
    class_names
        Of the zero points.
    prior
        What was known without stars.
    solutions
        Of each sample: `products` with the metric, and the relative residual `missed` in the end.
    attrs
        What else the file says of itself, JSON-able.
    """

    fields: list[Field]
    likelihood: dict[str, np.ndarray]
    class_names: tuple[str, ...]
    prior: PriorVariance
    solutions: dict[str, np.ndarray]
    attrs: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.fields)

    @property
    def estimator(self) -> dict[str, Any]:
        """What a map that is a mean over them says of itself."""
        number = len(self)
        return {"estimator": f"mean of {number} samples of the posterior", "samples": number}

    @property
    def of_fit(self) -> str | None:
        """Digest of the `field.h5` that they were drawn around."""
        return self.attrs.get("provenance", {}).get("inputs", {}).get("fit")


def joined_samples(parts: list[Samples], attrs: dict[str, Any]) -> Samples:
    """All samples of some parts of one posterior."""
    first = parts[0]
    fields = [field for part in parts for field in part.fields]
    likelihood = _concatenated([part.likelihood for part in parts])
    solutions = _concatenated([part.solutions for part in parts])
    return Samples(fields, likelihood, first.class_names, first.prior, solutions, attrs)


def _concatenated(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _named_leaves(field: Field) -> dict[str, Any]:
    """The arrays of a field by their place in it, `parts.0.cos`."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(field)
    return {jax.tree_util.keystr(path, simple=True, separator="."): a for path, a in leaves}


def save_samples(path: str | Path, samples: Samples) -> None:
    """Write samples whose fields are all of one kind."""
    with writing(path, SAMPLES_FORMAT) as file:
        about = {
            "samples": len(samples),
            "class_names": list(samples.class_names),
            "beyond": samples.prior.beyond,
        }
        write_attrs(file, samples.attrs | about)
        leaves = [_named_leaves(field) for field in samples.fields]
        groups = {
            "fields": {name: np.stack([one[name] for one in leaves]) for name in leaves[0]},
            "likelihood": samples.likelihood,
            "solutions": samples.solutions,
            "prior": {"z_kpc": samples.prior.z_kpc, "resolved": samples.prior.resolved},
        }
        for group, arrays in groups.items():
            stored = file.create_group(group)
            for name, values in arrays.items():
                stored.create_dataset(name, data=np.asarray(values))


def _arrays(file: Any, group: str) -> dict[str, np.ndarray]:
    stored = group_in(file, group)
    return {str(name): np.asarray(stored[name]) for name in stored}


def load_samples(path: str | Path, like: Field) -> Samples:
    """Samples of the kind of a field.

    Raises
    ------
    ProductError
        If the file is missing, damaged, or of another field.
    """
    path = Path(path)
    with reading(path, SAMPLES_FORMAT) as file:
        arrays, likelihood = _arrays(file, "fields"), _arrays(file, "likelihood")
        prior, solutions = _arrays(file, "prior"), _arrays(file, "solutions")
        attrs = read_attrs(file)
        number, names = int(attrs.pop("samples")), tuple(attrs.pop("class_names"))
        variance = PriorVariance(prior["z_kpc"], prior["resolved"], float(attrs.pop("beyond")))
    wanted = {name: (number, *np.shape(leaf)) for name, leaf in _named_leaves(like).items()}
    if number < 1 or {name: a.shape for name, a in arrays.items()} != wanted:
        raise ProductError(f"{path}: samples of another field than the fit's; draw them again")
    for name, array in (arrays | likelihood | prior).items():
        if array.dtype.kind != "f" or not np.all(np.isfinite(array)):
            raise ProductError(f"{path}: {name} has values that are not finite; draw them again")
    if any(len(values) != number for values in likelihood.values()):
        raise ProductError(f"{path}: parameters of another number of samples; draw them again")
    structure = jax.tree.structure(like)
    fields = [
        jax.tree.unflatten(structure, [jnp.asarray(arrays[name][i]) for name in wanted])
        for i in range(number)
    ]
    return Samples(fields, likelihood, names, variance, solutions, attrs)
