"""Which combinations of an ablation's axes a study runs: all there are, less what its conditions leave out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from scoft_hpc.config.command_configs import Ablation
from scoft_hpc.config.plain import to_override
from scoft_hpc.errors import ConfigError

Combination = dict[str, Any]
"""A value of each axis; an axis that does not vary here is absent, and its setting keeps its default."""


def expand_grid(ablation: Ablation, *, narrowed: bool = False) -> list[Combination]:
    """The combinations, each once, the last axis varying fastest; one empty combination if there are no axes.

    `narrowed`: a value was taken out of the axes, so that a condition may name one that is not there.

    Raises:
        ConfigError: for all faults of `axes`, `zip`, `when` and `exclude`, or if nothing is left.
    """
    if faults := [*_axis_faults(ablation), *_zip_faults(ablation), *_condition_faults(ablation, narrowed)]:
        raise ConfigError.from_messages(dict.fromkeys(faults))
    combinations: list[Combination] = []
    for parts in itertools.product(*_factors(ablation)):
        combination = _varying({axis: v for part in parts for axis, v in part.items()}, ablation.when)
        excluded = any(_holds(condition, combination) for condition in ablation.exclude)
        if not excluded and combination not in combinations:
            combinations.append(combination)
    if not combinations:
        raise ConfigError("ablation.exclude leaves nothing to run; take an entry out of it.")
    return combinations


def _factors(ablation: Ablation) -> list[list[Combination]]:
    """What the product is made of: the values of an axis, or those of axes that go together, side by side."""
    groups = dict.fromkeys(
        next((tuple(group) for group in ablation.zip if axis in group), (axis,)) for axis in ablation.axes
    )
    return [
        [dict(zip(group, values, strict=True)) for values in zip(*map(ablation.axes.get, group), strict=True)]
        for group in groups
    ]


def _varying(combination: Combination, when: Mapping[str, Combination]) -> Combination:
    """The combination without the axes whose condition does not hold, nor those that wait for one of these."""
    values = {
        axis: value
        for axis, value in combination.items()
        if axis not in when or _holds(when[axis], combination)
    }
    return values if len(values) == len(combination) else _varying(values, when)


def _holds(condition: Combination, combination: Combination) -> bool:
    """Whether each axis of the condition has the value it names, or one of a list of them."""
    return all(
        axis in combination and combination[axis] in _values(value) for axis, value in condition.items()
    )


def _values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _axis_faults(ablation: Ablation) -> Iterator[str]:
    for axis, values in ablation.axes.items():
        if not values:
            yield f"ablation.axes.{axis}=[] leaves nothing to run; expected at least one value."


def _zip_faults(ablation: Ablation) -> Iterator[str]:
    axes = ablation.axes
    for group in ablation.zip:
        unknown = [axis for axis in group if axis not in axes]
        lengths = {axis: len(axes[axis]) for axis in group if axis in axes}
        yield from (_no_axis("ablation.zip", axis, axes) for axis in unknown)
        if len(set(group)) < 2:
            yield f"ablation.zip: {to_override(group)}; expected two axes or more that go together."
        elif not unknown and len(set(lengths.values())) > 1:
            counted = ", ".join(f"{axis} has {count}" for axis, count in lengths.items())
            yield f"ablation.zip: axes that go together need as many values each; {counted}."
    named = list(itertools.chain.from_iterable(ablation.zip))
    for axis in dict.fromkeys(axis for axis in named if named.count(axis) > 1):
        yield f"ablation.zip: {axis} is named twice; an axis goes together with others once."


def _condition_faults(ablation: Ablation, narrowed: bool) -> Iterator[str]:
    axes = ablation.axes
    named: list[tuple[str, str | None, Combination]] = [
        *((f"ablation.when.{axis}", axis, condition) for axis, condition in ablation.when.items()),
        *((f"ablation.exclude[{n}]", None, condition) for n, condition in enumerate(ablation.exclude)),
    ]
    for where, waiting, condition in named:
        if waiting is not None and waiting not in axes:
            yield _no_axis(where, waiting, axes)
        if not condition:
            yield f"{where} is empty; expected an axis and its value, as {{variant: mpc}}."
        for axis, value in condition.items():
            if axis == waiting:
                yield f"{where} waits for itself; expected another axis."
            elif axis not in axes:
                yield _no_axis(where, axis, axes)
            elif not narrowed and (absent := [v for v in _values(value) if v not in axes[axis]]):
                yield (
                    f"{where}: {axis} is never {' or '.join(map(to_override, absent))}; "
                    f"its values are {to_override(axes[axis])}."
                )


def _no_axis(where: str, axis: str, axes: Mapping[str, Any]) -> str:
    has = f"the axes are {', '.join(axes)}" if axes else "there are none"
    return f"{where}: {axis} is not an axis of this ablation; {has}."
