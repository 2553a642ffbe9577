"""YAML files, each key once: a loader that keeps the last of two loses what the first one said."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from semgap.errors import ConfigError


class _EachKeyOnce(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses a mapping with two values for a key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _value in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' stands twice", key_node.start_mark
                )
            seen.add(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def read_yaml(file: Path, remedy: str) -> Any:
    """Read a file.

    Raises:
        ConfigError: it cannot be read, is no YAML, or has a key twice.
    """
    try:
        return yaml.load(file.read_bytes(), _EachKeyOnce)
    except OSError as error:
        raise ConfigError(f"'{file}' cannot be read: {error.strerror}.", remedy) from error
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"'{file}' is no usable YAML: {said}.", remedy) from error
