"""Settings as plain JSON data: whole, the science half alone, or flat by their dotted names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any


def science(value: Any) -> Any:
    """The science half of a dataclass as plain JSON data: infra fields left out, enums by name."""
    return plain(value, whole=False)


def plain(value: Any, whole: bool = True) -> Any:
    """A dataclass as plain JSON data, enums by name; without its infra fields unless `whole`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: plain(getattr(value, f.name), whole)
            for f in dataclasses.fields(value)
            if whole or not f.metadata.get("infra")
        }
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, (list, tuple)):
        return [plain(v, whole) for v in value]
    return value


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested plain settings as (`train.lr`, value)."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
