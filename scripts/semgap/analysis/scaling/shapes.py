"""The models that a sweep's law is asked about."""

from pathlib import Path

import msgspec

from semgap.analysis.scaling.points import Shape
from semgap.errors import ConfigError
from semgap.plumbing.yaml_files import read_yaml

_REMEDY = (
    "Restore config/models/shapes.yaml, or give each model the keys that its first line shows."
)
_KEYS_AND_VALUES = 2


class _Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    parameters: int
    layers: int
    kv_heads: int
    head_size: int
    vocabulary: int
    bytes_per_number: int = 2


def read_shapes(file: Path) -> list[Shape]:
    """Models by their sizes.

    Raises:
        ConfigError: the file cannot be read, or has other keys.
    """
    try:
        models = msgspec.convert(read_yaml(file, _REMEDY), list[_Model])
    except msgspec.ValidationError as error:
        raise ConfigError(f"'{file}': {error}.", _REMEDY) from error
    return [
        Shape(
            one.name,
            one.parameters,
            one.parameters * one.bytes_per_number,
            _KEYS_AND_VALUES * one.layers * one.kv_heads * one.head_size * one.bytes_per_number,
            one.vocabulary * one.bytes_per_number,
        )
        for one in models
    ]
