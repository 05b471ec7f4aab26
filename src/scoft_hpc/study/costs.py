"""What a study cost: GPU-hours and service units, beside what was estimated before it was sent.

Read from the files of the study's batches (`<study>/jobs/`, described in `study.job_array`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoft_hpc.study.paths import StudyDir

STAGES = {"prepare": "preparing the cultures", "train": "training, drawing and scoring"}


@dataclass(frozen=True)
class Cost:
    """What a stage came to so far, or the whole study.

    Attributes:
        gpu_hours, su: spent: every attempt counts, also one that came to nothing.
        estimated_gpu_hours, estimated_su: as they were when each run was sent for the first time.
        tasks: jobs that were sent. attempts: how often one started; requeues: how often Slurm started one again.
    """

    gpu_hours: float = 0.0
    su: float = 0.0
    estimated_gpu_hours: float = 0.0
    estimated_su: float = 0.0
    tasks: int = 0
    attempts: int = 0
    requeues: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(**{name: value + getattr(other, name) for name, value in vars(self).items()})


def read(study: StudyDir, notes: list[str]) -> dict[str, Cost]:
    """Each stage's cost, by its name for people; empty for a study that was never sent to Slurm.

    A batch that cannot be read is left out, with a note.
    """
    found: dict[str, Cost] = {}
    estimated: set[tuple[str, str]] = set()
    batches = list(_batches(study, notes))
    for stage, name in STAGES.items():
        for batch in batches:
            if batch.stage == stage:
                found[name] = found.get(name, Cost()) + _cost(batch, estimated)
    return found


def total(costs: dict[str, Cost]) -> Cost:
    """All stages together."""
    return sum(costs.values(), Cost())


def lines(costs: dict[str, Cost]) -> list[tuple[str, Cost]]:
    """The stages, and below several of them their sum."""
    return [*costs.items(), *([("in all", total(costs))] if len(costs) > 1 else [])]


def sentence(cost: Cost) -> str:
    """Such as `3.2 GPU-hours, 6.4 SU (estimated 5.8)`."""
    return f"{amount(cost.gpu_hours)} GPU-hours, {amount(cost.su)} SU (estimated {amount(cost.estimated_su)})"


def amount(value: float) -> str:
    """One decimal; less than one with two digits that say something."""
    return f"{value:,.1f}" if value >= 0.95 or value == 0 else f"{value:.2g}"


@dataclass(frozen=True)
class _Batch:
    stage: str
    tasks: list[list[str]]
    seconds: list[float]
    su_per_hour: float
    accepted: bool
    attempts: list[tuple[int, int, float]]  # task, restart, seconds
    verdicts: dict[int, float]  # by task, the seconds that Slurm counted


def _cost(batch: _Batch, estimated: set[tuple[str, str]]) -> Cost:
    """A batch's cost; its runs join `estimated`, and those that were there already add nothing to the estimate."""
    spent: dict[int, float] = {}
    restarts: dict[int, int] = {}
    for task, restart, seconds in batch.attempts:
        spent[task] = spent.get(task, 0.0) + seconds
        restarts[task] = max(restarts.get(task, 0), restart)
    for task, seconds in batch.verdicts.items():
        spent[task] = max(spent.get(task, 0.0), seconds)
    expected = 0.0
    for runs, seconds in zip(batch.tasks, batch.seconds, strict=True):
        new = {(batch.stage, run) for run in runs} - estimated
        if batch.accepted:
            expected += seconds * len(new) / len(runs)
            estimated |= new
    hours, estimate = sum(spent.values()) / 3600, expected / 3600
    return Cost(
        gpu_hours=hours,
        su=hours * batch.su_per_hour,
        estimated_gpu_hours=estimate,
        estimated_su=estimate * batch.su_per_hour,
        tasks=len(batch.tasks) if batch.accepted else 0,
        attempts=len(batch.attempts),
        requeues=sum(restarts.values()),
    )


def _batches(study: StudyDir, notes: list[str]) -> Iterator[_Batch]:
    """The study's batches in the order of their sending."""
    found = []
    for path in study.jobs.glob("*/batch.json"):
        try:
            found.append((json.loads(path.read_text())["created"], _read(path.parent)))
        except (OSError, ValueError, KeyError, TypeError) as error:
            notes.append(f"{path.parent} cannot be read, and what it cost is left out ({error!r}).")
    yield from (batch for _, batch in sorted(found, key=lambda pair: pair[0]))


def _read(folder: Path) -> _Batch:
    """A batch that Slurm never got has the number 0; one whose number is not known yet may still start."""
    content = json.loads((folder / "batch.json").read_text())
    attempts = []
    for path in folder.glob("[0-9]*.*.json"):
        attempt, alive = json.loads(path.read_text()), path.stat().st_mtime
        seconds = max(0.0, (attempt["ended"] or alive) - attempt["started"])
        attempts.append((attempt["task"], attempt["restart"], seconds))
    verdicts = _read_json(folder / "verdicts.json")
    return _Batch(
        stage=content["stage"],
        tasks=content["tasks"],
        seconds=content["seconds"],
        su_per_hour=content["su_per_hour"],
        accepted=_read_json(folder / "job.json").get("job") != 0,
        attempts=attempts,
        verdicts={int(task): verdict["seconds"] for task, verdict in verdicts.items()},
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return content
