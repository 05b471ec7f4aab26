"""Between the schema's frozen dataclasses and OmegaConf's nodes."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Mapping
from typing import Any, cast

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scoft_hpc.config.setting import walk_fields
from scoft_hpc.errors import ConfigError


def structured(schema: type[Any]) -> DictConfig:
    """The schema as a node that takes overrides: frozen dataclasses come read-only otherwise."""
    node = cast(DictConfig, OmegaConf.structured(schema))
    _set_writable(node)
    return node


def settings(schema: Any) -> Mapping[str, Any]:
    """The type of every setting by its dotted name, groups included: `train` as well as `train.lr`."""
    return _cached_settings(schema)


def accepts(hint: Any, value: Any) -> bool:
    """Whether a setting of this type can be given the value."""
    node = structured(
        dataclasses.make_dataclass("Setting", [("value", hint, dataclasses.field(default=MISSING))])
    )
    OmegaConf.set_struct(node, typing.get_origin(hint) is not dict)
    try:
        OmegaConf.update(node, "value", value)
    except (OmegaConfBaseException, ValueError, TypeError):
        return False
    return length_matches(hint, value)


def length_matches(hint: Any, value: Any) -> bool:
    """Whether a list has the length that its type asks for; True for other types."""
    items = typing.get_args(hint)
    return typing.get_origin(hint) is not tuple or items[-1] is ... or len(value) == len(items)


def with_tuples(config: Any, prefix: str = "") -> Any:
    """The dataclass with tuples, as its types say, in place of OmegaConf's lists.

    Raises:
        ConfigError: if a list is too long or too short.
    """
    changes: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(type(config)).items():
        value = getattr(config, name)
        if dataclasses.is_dataclass(value):
            changes[name] = with_tuples(value, f"{prefix}{name}.")
        elif typing.get_origin(hint) is tuple:
            if not length_matches(hint, value):
                raise ConfigError(f"{prefix}{name}={value}: expected {len(typing.get_args(hint))} values.")
            changes[name] = tuple(value)
    return dataclasses.replace(config, **changes)


@functools.cache
def _cached_settings(schema: Any) -> Mapping[str, Any]:
    return {name: hint for name, _, hint in walk_fields(schema)}


def _set_writable(node: DictConfig) -> None:
    OmegaConf.set_readonly(node, None)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none():
            _set_writable(child)
