"""Settings as plain JSON data (whole, the science half alone, or flat by their dotted names), and as overrides."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Hashable, Iterator, Mapping
from enum import Enum
from typing import Any, cast

from scoft_hpc.config.setting import policy_of


def science_fields(value: Any) -> Any:
    """The science half of a dataclass as plain JSON data: infra fields left out, enums by name."""
    return to_plain(value, whole=False)


def to_plain(value: Any, whole: bool = True) -> Any:
    """A dataclass as plain JSON data, enums by name; without its infra fields unless `whole`."""
    names = _fields(cast(Hashable, type(value)), whole)
    if names is not None:
        return {name: to_plain(getattr(value, name), whole) for name in names}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, (list, tuple)):
        return [to_plain(v, whole) for v in value]
    return value


@functools.cache
def _fields(kind: Hashable, whole: bool) -> tuple[str, ...] | None:
    """The names of a dataclass's fields; None of any other type. Cached: a plan calls it thousands of times."""
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return None
    return tuple(f.name for f in dataclasses.fields(kind) if whole or not policy_of(f).infra)


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested plain settings as (`train.lr`, value)."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def to_override(value: Any) -> str:
    """A value as an override writes it."""
    if isinstance(value, str):
        plain = re.fullmatch(r"[A-Za-z_][\w./-]*", value) and value.lower() not in (
            "null",
            "true",
            "false",
            "nan",
            "inf",
        )
        return value if plain else json.dumps(value)
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(to_override, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{k}:{to_override(v)}' for k, v in value.items())}}}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
