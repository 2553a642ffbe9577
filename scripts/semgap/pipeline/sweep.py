"""Experiments that differ in some keys of their configuration: the points of a sweep."""

from collections.abc import Iterator, Mapping
from functools import reduce
from itertools import product
from typing import Any

from semgap.errors import ConfigError
from semgap.pipeline.config import load_config, overridden


def points_of(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each point's configuration, by the name of its experiment; itself if it has no ``sweep``.

    ``sweep`` has for each key, such as ``server.link.rate_gbit``, a list of values, and each
    combination is a point; or it has for each name of a point a mapping from keys to values. A
    point's experiment has the values, or the name, after the sweep's.

    Raises:
        ConfigError: the sweep has another form, or a point's configuration is wrong.
    """
    common = {key: value for key, value in values.items() if key != "sweep"}
    found: dict[str, dict[str, Any]] = {}
    for name, changes in _changes_of(values.get("sweep", {"": {}})):
        experiment = "-".join(filter(None, (str(common.get("experiment")), name)))
        if experiment in found:
            raise ConfigError(f"Two points of the sweep are '{experiment}'.", "Name each once.")
        nested = (_nested(key, value) for key, value in changes.items())
        found[experiment] = reduce(overridden, nested, {**common, "experiment": experiment})
        load_config(found[experiment])
    return found


def _changes_of(sweep: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    forms = set(map(_form, sweep.values())) if isinstance(sweep, Mapping) else set()
    if forms == {list}:
        for values in product(*sweep.values()):
            yield "-".join(map(_text, values)), dict(zip(sweep, values, strict=True))
    elif forms == {Mapping}:
        yield from ((str(name), changes) for name, changes in sweep.items())
    else:
        raise ConfigError(
            f"The configuration key 'sweep' is {sweep!r}.",
            "Give it a list of values for each key, such as {server.link.rate_gbit: [1, 4]}, or a "
            "mapping from keys to values for each name of a point.",
        )


def _form(value: Any) -> type | None:
    return next((form for form in (Mapping, list) if isinstance(value, form)), None)


def _text(value: Any) -> str:
    return "none" if value is None else str(value)


def _nested(key: str, value: Any) -> dict[str, Any]:
    """``{"a": {"b": value}}`` for the key ``a.b``."""
    *sections, last = key.split(".")
    return reduce(lambda inner, section: {section: inner}, reversed(sections), {last: value})
