"""What a launch would send now: packs, arrays, time limits and their price. Nothing is written or sent here."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from scoft_hpc.config.cluster import Cluster, gpu_of
from scoft_hpc.config.plain import to_plain
from scoft_hpc.config.schema import Variant
from scoft_hpc.config.terms import needs_rollout
from scoft_hpc.inputs.cache_key import folder_of
from scoft_hpc.launch.planning import cost_estimate
from scoft_hpc.launch.planning.cost_estimate import CostEstimate
from scoft_hpc.launch.planning.host_resources import max_lanes
from scoft_hpc.launch.planning.packing import Pack, make_packs
from scoft_hpc.launch.planning.plan import Run
from scoft_hpc.launch.slurm import sbatch
from scoft_hpc.launch.tracking import run_state
from scoft_hpc.launch.tracking.run_state import RunState
from scoft_hpc.launch.tracking.study_state import StudyState
from scoft_hpc.study import job_array, lease
from scoft_hpc.study.job_array import PREPARE, TRAIN, JobArray
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.run_status import Status

Item = TypeVar("Item")


@dataclass(frozen=True)
class SubmissionRequest:
    """What is asked for.

    Attributes:
        user_requested, retry: as for `run_state.runs_to_submit`.
        budget_su: the budget in service units; None: none.
        only: the runs to consider, by id; None: all.
        exiting_task: the task, as (job, index), that asks as its last act, and counts as gone.
    """

    cluster: Cluster
    user_requested: bool = True
    retry: bool = False
    budget_su: float | None = None
    only: frozenset[str] | None = None
    exiting_task: tuple[int, int] | None = None


@dataclass(frozen=True)
class SubmissionPlan:
    """What would be sent now: unsent arrays, the packs they hold, and what they are expected to cost."""

    arrays: tuple[JobArray, ...]
    packs: tuple[Pack, ...]
    price: CostEstimate
    source: str

    @property
    def runs(self) -> list[Run]:
        return [run for each in self.packs for run in each.runs]


def plan_submission(
    study: StudyDir, runs: Sequence[Run], seen: StudyState, request: SubmissionRequest
) -> SubmissionPlan:
    """The arrays that the request comes to; nothing is written or sent."""
    wanted = {
        state.run_id: state
        for state in run_state.runs_to_submit(seen.states.values(), request.user_requested, request.retry)
        if request.only is None or state.run_id in request.only
    }
    chosen = [run for run in runs if run.run_id in wanted]
    pace = cost_estimate.estimate_throughput(study, runs, request.cluster)
    arrays: list[JobArray] = []
    packs: list[Pack] = []
    if chosen:
        arrays += _preparations(study, runs, chosen, seen, request, pace)
    for memory, group in _packs(chosen, wanted, request.cluster):
        packs += group
        arrays += _training(study, group, memory, request, pace)
    seconds = [second for array in arrays for second in array.seconds]
    return SubmissionPlan(
        tuple(arrays),
        tuple(packs),
        cost_estimate.estimate_cost(seconds, gpu_of(request.cluster)[1].su_per_hour),
        pace.source,
    )


def _packs(
    runs: Sequence[Run], wanted: dict[str, RunState], cluster: Cluster
) -> Iterator[tuple[float | None, list[Pack]]]:
    """The runs in packs, with the host memory in GB where a job needs other than the profile's.

    What one job lost goes to one job again: the same lanes together compute bit for bit what they would have. What
    did not fit into a GPU's memory is split.
    """
    together: dict[tuple[float | None, int, str], list[Run]] = defaultdict(list)
    most = max_lanes([run.config for run in runs], cluster)
    for run in runs:
        state = wanted[run.run_id]
        lanes, memory, before = most, None, ""
        if state.place is not None:
            task = state.place.array.tasks[state.place.task]
            lanes = max(1, len(task) // 2) if state.cause == "gpu memory" else most
            memory = _more_memory(state, cluster) if state.cause == "host memory" else None
            before = state.place.job if state.status is Status.lost and len(task) <= most else ""
        together[memory, lanes, before].append(run)
    by_minutes: dict[float | None, list[Pack]] = defaultdict(list)
    for (memory, lanes, _), group in together.items():
        by_minutes[memory] += make_packs(group, math.ceil(len(group) / lanes), lanes)
    yield from by_minutes.items()


def _more_memory(state: RunState, cluster: Cluster) -> float | None:
    """Twice what the job had, as far as the profile allows; None where that is not known."""
    gpu = gpu_of(cluster)[1]
    last = state.place.array.last(state.place.task) if state.place else None
    had = (last.memory_gb if last else None) or gpu.memory_gb
    if had is None:
        return gpu.most_memory_gb
    return min(2 * had, gpu.most_memory_gb or 2 * (gpu.memory_gb or had))


def _training(
    study: StudyDir,
    packs: Sequence[Pack],
    memory: float | None,
    request: SubmissionRequest,
    pace: cost_estimate.Throughput,
) -> Iterator[JobArray]:
    """Arrays of packs: one for each time limit, none longer than Slurm allows."""
    by_limit: dict[int, list[Pack]] = defaultdict(list)
    for each in packs:
        by_limit[cost_estimate.minutes([cost_estimate.pack_seconds(each, pace)], request.cluster)].append(
            each
        )
    for minutes, group in by_limit.items():
        for part in _parts(group, request.cluster.max_array):
            tasks = tuple(tuple(run.run_id for run in each.runs) for each in part)
            seconds = tuple(cost_estimate.pack_seconds(each, pace) for each in part)
            yield new_array(study, request, TRAIN, tasks, seconds, minutes, memory)


def _preparations(
    study: StudyDir,
    runs: Sequence[Run],
    chosen: Sequence[Run],
    seen: StudyState,
    request: SubmissionRequest,
    pace: cost_estimate.Throughput,
) -> Iterator[JobArray]:
    """An array with a task for each culture whose cache is neither there nor being made."""
    by_id = {run.run_id: run for run in runs}
    being_made = {
        folder_of(by_id[task[0]].config, by_id[task[0]].config.data.digest)
        for array, index, _ in seen.live_tasks(PREPARE)
        if (task := array.tasks[index])[0] in by_id
    }
    needed: dict[Path, Run] = {}
    for run in chosen:
        folder = folder_of(run.config, run.config.data.digest)
        if run.config.variant is Variant.base:
            continue
        if folder not in needed or needs_rollout(run.config.variant) > needs_rollout(
            needed[folder].config.variant
        ):
            needed[folder] = run  # a run with a rollout also needs the images' features
    todo = [run for folder, run in needed.items() if folder not in being_made and not folder.is_dir()]
    for part in _parts(todo, request.cluster.max_array):
        seconds = tuple(cost_estimate.prepare_seconds(run, pace) for run in part)
        minutes = cost_estimate.minutes(seconds, request.cluster)
        tasks = tuple((run.run_id,) for run in part)
        yield new_array(study, request, PREPARE, tasks, seconds, minutes)


def new_array(
    study: StudyDir,
    request: SubmissionRequest,
    stage: str,
    tasks: tuple[job_array.Task, ...],
    seconds: tuple[float, ...],
    minutes: int,
    memory_gb: float | None = None,
    name: str = "",
) -> JobArray:
    """An array that is not written yet; `memory_gb` where it is not the profile's, `name` where it is not a new one."""
    cluster, (gpu_type, gpu) = request.cluster, gpu_of(request.cluster)
    name = name or job_array.new_name(stage)
    return JobArray(
        name=name,
        stage=stage,
        created=time.time(),
        user=lease.user(),
        tasks=tasks,
        seconds=seconds,
        gpu=gpu_type,
        su_per_hour=gpu.su_per_hour,
        minutes=minutes,
        sbatch_options=sbatch.sbatch_options(cluster, f"{study.name}.{name}", minutes, memory_gb),
        cluster=to_plain(cluster),
        user_requested=request.user_requested,
        budget_su=request.budget_su,
    )


def _parts(items: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]
