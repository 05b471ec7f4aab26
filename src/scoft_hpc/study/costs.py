"""What a study cost: GPU-hours and service units, beside what was estimated before it was submitted.

Computed from the study's job arrays (`study.job_array`), here alone: `status`, the budget check and the report agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scoft_hpc.study import job_array
from scoft_hpc.study.job_array import JobArray

STAGES = {job_array.PREPARE: "preparing the cultures", job_array.TRAIN: "training, drawing and scoring"}


@dataclass(frozen=True)
class Cost:
    """What a stage cost so far, or the whole study.

    Attributes:
        gpu_hours, su: spent: every attempt counts, failed ones too.
        estimated_gpu_hours, estimated_su: as they were when each run was first accepted by Slurm.
        tasks: array tasks that were submitted. attempts: how often one started; requeues: how often Slurm started one
            again.
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


def by_stage(arrays: Iterable[JobArray]) -> dict[str, Cost]:
    """Each stage's cost by the stage's name for people, of all arrays of a study from the oldest to the newest.

    A run's estimate counts once a stage: when an array with it was first accepted by Slurm, with the run's share
    `seconds * new runs / runs of the task`. An array that Slurm refused has the job 0 and no estimate; one of which
    it is not known whether Slurm has it may still start, and counts.
    """
    costs = dict.fromkeys(STAGES, Cost())
    estimated: set[tuple[str, str]] = set()
    arrays = list(arrays)
    for array in arrays:
        costs[array.stage] = costs.get(array.stage, Cost()) + _cost(array, estimated)
    stages = {array.stage for array in arrays}
    return {STAGES.get(stage, stage): cost for stage, cost in costs.items() if stage in stages}


def total(costs: dict[str, Cost]) -> Cost:
    """The sum of all stages."""
    return sum(costs.values(), Cost())


def lines(costs: dict[str, Cost]) -> list[tuple[str, Cost]]:
    """The stages, and below several of them their sum."""
    return [*costs.items(), *([("in all", total(costs))] if len(costs) > 1 else [])]


def sentence(cost: Cost) -> str:
    """Such as `3.2 GPU-hours, 6.4 SU (estimated 5.8)`."""
    return f"{amount(cost.gpu_hours)} GPU-hours, {amount(cost.su)} SU (estimated {amount(cost.estimated_su)})"


def amount(value: float) -> str:
    """One decimal; two significant digits below one."""
    return f"{value:,.1f}" if value >= 0.95 or value == 0 else f"{value:.2g}"


def _cost(array: JobArray, estimated: set[tuple[str, str]]) -> Cost:
    """An array's cost; its runs join `estimated`, and those that were there already add nothing to the estimate."""
    accepted = array.job != 0
    expected_seconds = 0.0
    for runs, seconds in zip(array.tasks, array.seconds, strict=True):
        new = {(array.stage, run) for run in runs} - estimated
        if accepted:
            expected_seconds += seconds * len(new) / len(runs)
            estimated |= new
    restarts: dict[int, int] = {}
    for attempt in array.attempts:
        restarts[attempt.task] = max(restarts.get(attempt.task, 0), attempt.restart)
    hours, expected_hours = array.gpu_seconds / 3600, expected_seconds / 3600
    return Cost(
        gpu_hours=hours,
        su=hours * array.su_per_hour,
        estimated_gpu_hours=expected_hours,
        estimated_su=expected_hours * array.su_per_hour,
        tasks=len(array.tasks) if accepted else 0,
        attempts=len(array.attempts),
        requeues=sum(restarts.values()),
    )
