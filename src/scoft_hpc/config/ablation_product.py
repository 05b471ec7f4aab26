"""A product of ablations: their files as one, with every axis of each.

Hydra would merge them too, and let the last one's `zip`, `exclude` and shared axes replace the others'.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_store import ConfigStore

from scoft_hpc.errors import ConfigError

SIGN = "+"
"""Between the names of what is multiplied."""
LIST = re.compile(r"ablation=\[(.*)\]")
OVERRIDE = "override /ablation"


def merge_ablation_lists(overrides: Sequence[str], folder: Path) -> list[str]:
    """The overrides with a list of ablations, their own or the chosen named study's, as one option of the group.

    Raises:
        ConfigError: if the ablations cannot be multiplied.
    """
    keys = [override.partition("=")[0] for override in overrides]
    studies = [override.partition("=")[2] for override in overrides if override.startswith("sweep=")]
    merged = [
        f"ablation={_option(_names(listed[1]), folder)}" if (listed := LIST.fullmatch(override)) else override
        for override in overrides
    ]
    if studies and "ablation" not in keys and (names := _of_study(folder / "sweep" / f"{studies[0]}.yaml")):
        merged.append(f"ablation={_option(names, folder)}")
    return merged


def product(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The ablations, by name, as one: an axis of several has the values of all, conditions hold together.

    Raises:
        ConfigError: for all axes on whose condition they do not agree.
    """
    axes: dict[str, list[Any]] = {}
    when: dict[str, Any] = {}
    faults: list[str] = []
    for name, part in parts.items():
        for axis, values in part.get("axes", {}).items():
            condition = part.get("when", {}).get(axis)
            if when.setdefault(axis, condition) != condition:
                faults.append(
                    f"ablation=[{','.join(parts)}]: {axis} varies {_where(condition)} in {name} and "
                    f"{_where(when[axis])} in another of them. They cannot be multiplied; write an ablation of "
                    f"your own that says when."
                )
            known = axes.setdefault(axis, [])
            known += [value for value in values if value not in known]
    if faults:
        raise ConfigError.from_messages(faults)
    return {
        "name": SIGN.join(parts),
        "axes": axes,
        "when": {axis: condition for axis, condition in when.items() if condition is not None},
        "zip": list(_each(parts, "zip")),
        "exclude": list(_each(parts, "exclude")),
    }


def _each(parts: Mapping[str, Mapping[str, Any]], field: str) -> Iterator[Any]:
    """The entries of all parts, equal ones once."""
    entries = list(itertools.chain.from_iterable(part.get(field, []) for part in parts.values()))
    return (entry for n, entry in enumerate(entries) if entry not in entries[:n])


def _where(condition: Mapping[str, Any] | None) -> str:
    return "everywhere" if condition is None else f"where {condition}"


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))


def _of_study(path: Path) -> tuple[str, ...]:
    """The ablations that a named study multiplies; none if it has one, or does not exist."""
    if not path.is_file():
        return ()
    for entry in yaml.safe_load(path.read_text()).get("defaults", []):
        if isinstance(entry, dict) and isinstance(entry.get(OVERRIDE), list):
            return tuple(entry[OVERRIDE])
    return ()


@functools.cache
def _option(names: tuple[str, ...], folder: Path) -> str:
    """The name of the product, which Hydra knows from now on as an option of the group."""
    options = sorted(path.stem for path in (folder / "ablation").glob("*.yaml"))
    if unknown := [name for name in names if name not in options]:
        raise ConfigError(
            f"ablation=[{','.join(names)}]: there is no {', '.join(unknown)}; there are {', '.join(options)}."
        )
    if len(names) == 1:
        return names[0]
    parts = {name: yaml.safe_load((folder / "ablation" / f"{name}.yaml").read_text()) for name in names}
    merged = product(parts)
    ConfigStore.instance().store(group="ablation", name=merged["name"], node=merged)
    return str(merged["name"])
