"""A run's config as the files of a study hold it: independent of the study's location.

In plan.json and config.yaml, `{output}` stands for the directory that holds the study's folder. So a study that was
moved, with its caches or without them, can be read at its new location. Older studies hold absolute paths: those
below the output directory of that time are read as below the present one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

OUTPUT = "{output}"


def stored(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config, as plain data, with its `output` and the paths below it relative to that; for a file."""
    output = str(config["output"])
    if not Path(output).is_absolute():
        return dict(config)
    return _map(config, lambda text: _rebased(text, output, OUTPUT))


def located(config: Mapping[str, Any], output: Path) -> Mapping[str, Any]:
    """The config of a file, with the paths of a study that is in `output` (absolute) now."""
    old = str(config.get("output", ""))
    if old == str(output) or not (old == OUTPUT or Path(old).is_absolute()):
        return config
    return _map(config, lambda text: _rebased(text, old, str(output)))


def output_of(config_file: Path) -> Path | None:
    """The directory of the study to which a run's config.yaml belongs; None for a file outside of a study."""
    folders = config_file.absolute().parents
    if len(folders) < 4 or not (folders[1].name == "runs" and (folders[2] / "plan.json").exists()):
        return None
    return folders[3]


def _map(config: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    return {
        key: _map(value, change)
        if isinstance(value, Mapping)
        else change(value)
        if isinstance(value, str)
        else value
        for key, value in config.items()
    }


def _rebased(text: str, old: str, new: str) -> str:
    return new + text[len(old) :] if text == old or text.startswith(f"{old.rstrip('/')}/") else text
