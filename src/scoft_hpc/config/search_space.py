"""The search space `tune.space`: read and checked, all faults reported at once."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from scoft_hpc.config import validation
from scoft_hpc.config.nodes import accepts, settings
from scoft_hpc.config.plain import flat, science_fields
from scoft_hpc.config.schema import RunConfig
from scoft_hpc.config.setting import lineage
from scoft_hpc.errors import ConfigError
from scoft_hpc.text import did_you_mean

SYNTAX = "{low: …, high: …, log: true}, or a list of values"
KEYS = {"low", "high", "log"}


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; `log`: small and large ones alike. `integer`: whole numbers only."""

    low: float
    high: float
    log: bool
    integer: bool


@dataclass(frozen=True)
class ChoiceSet:
    """One of these values, as plain data."""

    values: tuple[Any, ...]


Space = dict[str, Range | ChoiceSet]


def read(given: Mapping[str, Any], overrides: Sequence[str]) -> Space:
    """The space that `given` describes; the settings of the command line's `overrides` are not searched.

    Raises:
        ConfigError: with every fault of every entry.
    """
    searched = {name: entry for name, entry in given.items() if entry is not None}
    faults = [fault for name, entry in searched.items() for fault in _faults(name, entry)]
    fixed = {text.lstrip("+").partition("=")[0]: text for text in overrides}
    faults += [
        f"`{fixed[name]}`: tune.space searches {name}; leave out one of the two (tune.space={{{name}: null}})."
        for name in searched
        if name in fixed
    ]
    if faults:
        raise ConfigError.from_messages(faults)
    return {name: _part(name, entry) for name, entry in searched.items()}


def _part(name: str, entry: Any) -> Range | ChoiceSet:
    if isinstance(entry, list):
        return ChoiceSet(tuple(entry))
    integer = int in _kinds(name)
    return Range(entry["low"], entry["high"], entry.get("log", False), integer)


def _faults(name: str, entry: Any) -> Iterator[str]:
    """The faults of one entry; for a name that cannot be searched, only that one."""
    where = f"tune.space: {name}"
    if name not in settings(RunConfig):
        yield f"{where} is not a setting{did_you_mean(name, _searchable(), '; `--cfg job` prints all.')}"
    elif dataclasses.is_dataclass(settings(RunConfig)[name]):
        below = [known for known in _searchable() if known.startswith(f"{name}.")]
        few = f": {', '.join(below[:3])}, …" if below else ""
        yield f"{where} is a group of settings; name those to search in full{few}."
    elif name not in _searchable():
        yield f"{where} is not searched: {_why_not(name)}."
    elif isinstance(entry, dict):
        yield from _range_faults(where, name, entry)
    elif isinstance(entry, list):
        yield from _choice_faults(where, name, entry)
    else:
        yield f"{where}: {entry}; expected {SYNTAX}."


def _range_faults(where: str, name: str, entry: dict[str, Any]) -> Iterator[str]:
    kinds, ends = _kinds(name), {key: entry.get(key) for key in ("low", "high")}
    if not kinds & {int, float}:
        yield f"{where} is no number, so it has no low and high; expected a list of values."
        return
    if unknown := sorted(set(entry) - KEYS):
        yield f"{where}: there is no {', '.join(unknown)}; expected {SYNTAX}."
    if not isinstance(entry.get("log", False), bool):
        yield f"{where}: log={entry['log']}; expected true or false."
    wrong = [f"{key}={value}" for key, value in ends.items() if not _is_number(value, kinds)]
    if wrong:
        kind = "whole numbers" if int in kinds else "numbers"
        yield f"{where}: {', '.join(wrong)}; expected {kind}, as {SYNTAX}."
        return
    low, high = entry["low"], entry["high"]
    if low >= high:
        yield f"{where}: low={low} is not below high={high}."
    if entry.get("log") is True and low <= 0:
        yield f"{where}: log=true needs a low above 0, not {low}."
    for key, value in ends.items():
        if expected := validation.range_error(name, value):
            yield f"{where}: {key}={value}; expected {expected}."


def _choice_faults(where: str, name: str, entry: list[Any]) -> Iterator[str]:
    hint = settings(RunConfig)[name]
    if len({repr(value) for value in entry}) < 2:
        yield f"{where}: {entry}; expected two values or more to choose from."
    for value in entry:
        if not accepts(hint, value):
            names = [member.name for kind in _kinds(name) if issubclass(kind, Enum) for member in kind]
            yield f"{where}: {value} is not one of its values{': ' * bool(names)}{', '.join(names)}."
        elif expected := validation.range_error(name, value):
            yield f"{where}: {value}; expected {expected}."


def _is_number(value: Any, kinds: set[type]) -> bool:
    return not isinstance(value, bool) and isinstance(value, int if float not in kinds else (int, float))


def _kinds(name: str) -> set[type]:
    """The types of a setting, without None."""
    hint = settings(RunConfig)[name]
    kinds = typing.get_args(hint) if type(None) in typing.get_args(hint) else (hint,)
    return {kind for kind in kinds if isinstance(kind, type) and kind is not type(None)}


def _why_not(name: str) -> str:
    """Why a setting is not searched: its own reason, or that of a group around it."""
    reasons = (policy.not_searched for policy in lineage(RunConfig, name))
    return next(filter(None, reasons), "it says where and how a run is made, not what it computes")


def _searchable() -> list[str]:
    """The settings that a search may try: of the science half, but for those that say why not."""
    names = (name for name, _ in flat(science_fields(RunConfig())))
    return [name for name in names if not any(policy.not_searched for policy in lineage(RunConfig, name))]
