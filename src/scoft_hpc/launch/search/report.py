"""What is said of a search: what it may try, how it stands, and what its outcome is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from scoft_hpc.config.plain import to_override
from scoft_hpc.config.search_space import ChoiceSet, Range
from scoft_hpc.launch.search import search as tuning
from scoft_hpc.launch.search.search import Search
from scoft_hpc.launch.search.trials import Trial
from scoft_hpc.launch.views.tables import new_table


def space_lines(search: Search) -> list[str]:
    """What is searched, in how many trials, and by which measure."""
    tune = search.config.tune
    seeds = to_override(search.config.seed)
    least = "least" if search.lower else "most"
    head = f"search {search.name}: {tune.trials} trials in rounds of {tune.parallel}, for the {least} {search.measure}"
    return [
        f"{head} (mean over cultures and seed {seeds})",
        *(f"  {name}: {_part(part)}" for name, part in search.space.items()),
    ]


def progress_line(search: Search, found: Sequence[Trial]) -> str:
    """After a round: how many trials are done, and the best of them."""
    first = tuning.best(search, found)
    told = "none has a value" if first is None else f"best so far {_words(first)} ({first.value:.4g})"
    return f"round {found[-1].round} is over: {len(found)} of {search.config.tune.trials} trials; {told}"


def trials_table(search: Search, found: Sequence[Trial]) -> Table:
    """A line a trial; the best one is marked."""
    first = tuning.best(search, found)
    ends = [name.split(".")[-1] for name in search.space]
    heads = [end if ends.count(end) == 1 else name for end, name in zip(ends, search.space, strict=True)]
    table = new_table("trial", "round", *heads, f"{search.measure} {'↓' if search.lower else '↑'}", left=0)
    for trial in found:
        values = [_short(trial.values[name]) for name in search.space]
        state = "failed" if trial.reason else "–"
        value = state if trial.value is None else f"{trial.value:.4g}"
        style = "bold green" if trial is first else "red" if trial.reason else ""
        table.add_row(str(trial.number), str(trial.round), *values, value, style=style)
    return table


def ending_lines(search: Search, found: Sequence[Trial]) -> list[str]:
    """The failures with their reasons, the best trial, and how to find out what it is really worth."""
    lines = [f"trial {trial.number} failed: {trial.reason}" for trial in found if trial.reason]
    first = tuning.best(search, found)
    if first is None:
        return [*lines, "no trial has a value. Mend what the reasons say; the same command tries again."]
    wanted = search.config.tune.trials
    if len(found) < wanted:
        end = (
            "every trial of its last round failed"
            if all(trial.value is None for trial in found if trial.round == found[-1].round)
            else "there is nothing else in the space"
        )
        lines.append(f"the search ended after {len(found)} of {wanted} trials: {end}.")
    seeds = to_override(search.config.seed)
    honest = (
        f"Its {first.value:.4g} is too good: the best of {len(found)} is partly the luckiest, on seed {seeds} and the "
        f"prompts that chose it. Do not report it. What the settings are worth is seen on fresh seeds, beside arms "
        f"that were tuned as long or, told so, not at all:"
    )
    return [
        *lines,
        f"best: trial {first.number}, {_words(first)}",
        honest,
        f"  {tuning.reporting(search, first)}",
        f"trials   {search.journal}",
    ]


def _part(part: Range | ChoiceSet) -> str:
    if isinstance(part, ChoiceSet):
        return f"one of {', '.join(map(to_override, part.values))}"
    return f"{part.low:g} to {part.high:g}{', by orders of magnitude' if part.log else ''}"


def _words(trial: Trial) -> str:
    return " ".join(f"{name}={to_override(value)}" for name, value in trial.values.items())


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else to_override(value)
