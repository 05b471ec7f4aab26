"""A setting's policies: metadata of its dataclass field, from which every table of settings is derived."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from scoft_hpc.config.terms import Term

POLICY = "policy"
"""The key of a field's metadata."""


class Rule(NamedTuple):
    """What a value must be: a predicate, and its description."""

    holds: Callable[[Any], bool]
    expected: str


def at_least(low: float) -> Rule:
    return Rule(lambda value: low <= value < math.inf, f"{low} or more")


def one_of(options: Collection[str]) -> Rule:
    return Rule(lambda value: value in options, f"one of {', '.join(options)}")


ABOVE_ZERO = Rule(lambda value: 0 < value < math.inf, "more than 0")
UNIT_INTERVAL = Rule(lambda value: 0 < value <= 1, "more than 0 and at most 1")


@dataclass(frozen=True)
class SettingPolicy:
    """What holds of a setting, or of a group of settings and all below it, beside its type and default.

    Attributes:
        infra: it decides where and how a run is made, not what it computes, and is no part of the run's id.
        allowed: the values that make sense; None passes wherever the type allows it.
        used_by: the terms of the objective that depend on it; None: every run does, an untrained one too.
        used_if: whether a run depends on it, given the settings of its group as plain data.
        per_lane: the lanes of a pack may differ in it.
        not_searched: why a search does not try it; None: it may, unless it is infra.
        axis: an ablation may vary it.
        reported: the study that reports the outcome of a search repeats it.
    """

    infra: bool = False
    allowed: Rule | None = None
    used_by: frozenset[Term] | None = None
    used_if: Callable[[Mapping[str, Any]], bool] | None = None
    per_lane: bool = False
    not_searched: str | None = None
    axis: bool = True
    reported: bool = True


DEFAULT_POLICY = SettingPolicy()


def setting(
    default: Any = dataclasses.MISSING, *, default_factory: Any = dataclasses.MISSING, **policies: Any
) -> Any:
    """A dataclass field with a default and `policies`, the attributes of `SettingPolicy` by name."""
    metadata = {POLICY: SettingPolicy(**policies)}
    if default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def policy_of(field: dataclasses.Field[Any]) -> SettingPolicy:
    """The field's policies; those of an ordinary field are all at their defaults."""
    return cast(SettingPolicy, field.metadata.get(POLICY, DEFAULT_POLICY))


def walk_fields(schema: Any, prefix: str = "") -> Iterator[tuple[str, dataclasses.Field[Any], Any]]:
    """Every setting, groups before what they hold: its dotted name, its dataclass field and its type."""
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        yield prefix + field.name, field, hints[field.name]
        if dataclasses.is_dataclass(hints[field.name]):
            yield from walk_fields(hints[field.name], f"{prefix}{field.name}.")


def policies(schema: type[Any]) -> Mapping[str, SettingPolicy]:
    """The policies of every setting by its dotted name, groups before what they hold: `train`, `train.steps`, …"""
    return _cached_policies(cast(Hashable, schema))


def lineage(schema: type[Any], name: str) -> Iterator[SettingPolicy]:
    """The policies that apply to a setting: those of the groups around it, outermost first, and its own."""
    known, parts = policies(schema), name.split(".")
    for end in range(1, len(parts) + 1):
        if policy := known.get(".".join(parts[:end])):
            yield policy


def rules(schema: type[Any]) -> dict[str, Rule]:
    """The settings whose values are checked, each with its rule."""
    return {name: policy.allowed for name, policy in policies(schema).items() if policy.allowed}


@functools.cache
def _cached_policies(schema: Hashable) -> Mapping[str, SettingPolicy]:
    return {name: policy_of(field) for name, field, _ in walk_fields(schema)}
