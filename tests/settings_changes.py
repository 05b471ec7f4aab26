"""A config with some settings changed by their dotted names, without a command line."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

Config = TypeVar("Config")


def changed(config: Config, changes: dict[str, Any]) -> Config:
    """Such as `changed(config, {"train.lr": 1.0})`."""
    for name, value in changes.items():
        head, _, rest = name.partition(".")
        config = dataclasses.replace(
            config, **{head: changed(getattr(config, head), {rest: value}) if rest else value}
        )
    return config
