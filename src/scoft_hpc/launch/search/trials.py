"""The trials of a search, read from its rounds: each round is a study of its own, each trial some of its runs.

A trial's value is the mean of its runs' metric over cultures and seeds. A trial of which a run failed has none, since
a mean over the others would be of other cultures.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from scoft_hpc.config.plain import flat
from scoft_hpc.study import run_status
from scoft_hpc.study.json_files import read_json
from scoft_hpc.study.paths import RunDir, StudyDir
from scoft_hpc.study.plan_file import read


@dataclass(frozen=True)
class Trial:
    """Values of the searched settings, and what became of them.

    Attributes:
        number: over all rounds, from 1. runs: their ids.
        value: the mean of the metric. reason: why there is none; while runs are missing there is neither.
    """

    number: int
    round: int
    values: dict[str, Any]
    runs: tuple[str, ...]
    value: float | None = None
    reason: str | None = None


def folder_of(output: Path, name: str, number: int) -> StudyDir:
    """The round's study, such as `tune-r03`."""
    return StudyDir(output / f"{name}-r{number:02d}")


def rounds(output: Path, name: str) -> list[StudyDir]:
    """The rounds that were planned, in order."""
    results: list[StudyDir] = []
    while (study := folder_of(output, name, len(results) + 1)).plan.exists():
        results.append(study)
    return results


def load_trials(output: Path, name: str, settings: Collection[str], measure: str) -> list[Trial]:
    """All trials so far, in order.

    Raises:
        LaunchError: if a round's plan cannot be read.
    """
    results: list[Trial] = []
    for number, study in enumerate(rounds(output, name), start=1):
        for values, runs in _groups(study, settings):
            value, reason = _outcome([study.run(run) for run in runs], measure)
            results.append(Trial(len(results) + 1, number, values, runs, value, reason))
    return results


def _groups(study: StudyDir, settings: Collection[str]) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """The values that the round's runs have of the settings, with the runs of each."""
    groups: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for run in read(study).runs:
        config = dict(flat(run.config))
        values = {name: config.get(name) for name in settings}
        groups.setdefault(json.dumps(values), (values, []))[1].append(run.run_id)
    for values, runs in groups.values():
        yield values, tuple(runs)


def _outcome(runs: list[RunDir], measure: str) -> tuple[float | None, str | None]:
    """The trial's value, or why it has none; neither while there are runs that have not ended."""
    if not all(run.ended for run in runs):
        return None, None
    values = []
    for run in runs:
        if not run.result.exists():
            failure = run_status.failure(run) or {"message": "no reason was written"}
            return None, f"{run.run_id}: {failure['message']}"
        value = _score(run, measure)
        if value is None:
            return None, f"{run.run_id}: its scores.json has no {measure}"
        values.append(value)
    return fmean(values), None


def _score(run: RunDir, measure: str) -> float | None:
    try:
        value = read_json(run.scores)["metrics"][measure]["value"]
    except (KeyError, TypeError):
        return None
    return None if value is None else float(value)
