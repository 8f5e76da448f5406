"""Configuration files as YAML: what is read is plain, small and said once."""

from pathlib import Path
from typing import Any

import yaml

from dust3d.errors import ConfigError

_LARGEST_BYTES = 1 << 18
_MOST_VALUES = 100_000
_DEEPEST = 50


class _Loader(yaml.SafeLoader):
    """Plain YAML in which no key stands twice: of two values one would be ignored."""

    def get_single_node(self) -> yaml.Node | None:
        """The tree of the file, unless aliases make it too large."""
        node = super().get_single_node()
        if node is not None:
            _values(node, {}, 0)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node."""
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            name = (key.tag, str(key.value))
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{key.value}` stands here twice", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def _values(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """Number of values below a node, its aliases written out."""
    if id(node) in known:
        return known[id(node)]
    if depth > _DEEPEST:
        raise yaml.constructor.ConstructorError(
            None, None, f"values are nested deeper than {_DEEPEST} levels", node.start_mark
        )
    below = node.value if isinstance(node, yaml.CollectionNode) else []
    parts = [part for item in below for part in (item if isinstance(item, tuple) else (item,))]
    known[id(node)] = number = 1 + sum(_values(part, known, depth + 1) for part in parts)
    if number > _MOST_VALUES:
        raise yaml.constructor.ConstructorError(
            None, None, f"aliases expand to more than {_MOST_VALUES} values", node.start_mark
        )
    return number


def read(path: str | Path) -> Any:
    """Read a YAML file in which no key stands twice, and check nothing else.

    Raises
    ------
    ConfigError
        If the file is missing, larger than any configuration or no plain YAML, or a key in it
        stands twice.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
        if len(content) > _LARGEST_BYTES:
            raise ConfigError(
                f"{path}: larger than {_LARGEST_BYTES} bytes, so no configuration; name a file "
                "such as config/config.yaml"
            )
        return _Loader(content.decode("utf-8")).get_single_data()
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; name a configuration, such as config/config.yaml"
        ) from None
    # PyYAML lets errors of numbers, dates and depth through as Python raises them
    except (yaml.YAMLError, ValueError, OSError, RecursionError, ArithmeticError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {error}; mend the file there") from None
