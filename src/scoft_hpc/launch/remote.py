"""Sending what is missing to Slurm, once: by a person's sweep or retry, or by a job that ends.

Who sends holds the study's launch claim, looks at the files and the queue under it, and writes down each batch before
sbatch is called. So whatever dies in between, the next one finds what was sent and sends the rest.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from scoft_hpc.config.cluster import Cluster, gpu_of, to_plain
from scoft_hpc.config.schema import Variant
from scoft_hpc.data.key import folder_of
from scoft_hpc.errors import LaunchError
from scoft_hpc.launch import batch, price, reconcile, situation, slurm, store, submit
from scoft_hpc.launch.batch import PREPARE, TRAIN, Batch
from scoft_hpc.launch.pack import Pack, pack
from scoft_hpc.launch.plan import Run
from scoft_hpc.launch.price import Price
from scoft_hpc.launch.reconcile import State
from scoft_hpc.launch.resources import LANES
from scoft_hpc.launch.situation import Situation
from scoft_hpc.launch.study import launch_claim
from scoft_hpc.runs import claim, record
from scoft_hpc.runs.claim import Claim
from scoft_hpc.runs.layout import StudyDir

SETTLE_SECONDS = 30.0
"""How long after its writing a batch may still be on its way to Slurm, if its sender died over it."""


Item = TypeVar("Item")


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        by_hand, retry: as for `reconcile.missing`.
        limit: the budget in service units; None: none.
        only: the runs to consider, by id; None: all.
        leaving: the task, as (job, index), that asks as its last act, and counts as gone.
    """

    cluster: Cluster
    by_hand: bool = True
    retry: bool = False
    limit: float | None = None
    only: frozenset[str] | None = None
    leaving: tuple[int, int] | None = None


@dataclass(frozen=True)
class Coming:
    """What would be sent now: unsent batches, the packs they hold, and what they are expected to cost."""

    batches: tuple[Batch, ...]
    packs: tuple[Pack, ...]
    price: Price
    source: str

    @property
    def runs(self) -> list[Run]:
        return [run for each in self.packs for run in each.runs]


def look(study: StudyDir, runs: Sequence[Run], request: Request) -> Situation:
    """How the study stands, with the leaving task counted as gone."""
    seen = situation.read(study, [run.run_id for run in runs])
    if request.leaving is None or seen.queue is None:
        return seen
    rest = [entry for entry in seen.queue.entries if (entry.job, entry.index) != request.leaving]
    queue = slurm.Queue(rest)
    return replace(seen, queue=queue, states=reconcile.states(seen.files, seen.batches, queue))


def coming(study: StudyDir, runs: Sequence[Run], seen: Situation, request: Request) -> Coming:
    """The batches that the request comes to; nothing is written or sent."""
    wanted = {
        state.run_id: state
        for state in reconcile.missing(seen.states.values(), request.by_hand, request.retry)
        if request.only is None or state.run_id in request.only
    }
    chosen = [run for run in runs if run.run_id in wanted]
    pace = price.pace(study, runs, request.cluster)
    batches: list[Batch] = []
    packs: list[Pack] = []
    if chosen:
        batches += _preparations(study, runs, chosen, seen, request, pace)
    for memory, lanes, group in _by_resources(chosen, wanted, request.cluster):
        some = pack(group, math.ceil(len(group) / lanes), lanes)
        packs += some
        batches += _training(study, some, memory, request, pace)
    seconds = [second for one in batches for second in one.seconds]
    return Coming(
        tuple(batches),
        tuple(packs),
        price.price(seconds, gpu_of(request.cluster)[1].su_per_hour),
        pace.source,
    )


def launch(
    study: StudyDir, runs: Sequence[Run], request: Request, ready: Callable[[], None] = lambda: None
) -> Coming:
    """Send what is missing and return it; `ready` is called when the claim is held, before anything is written.

    Raises:
        RunError: if another process is sending runs of this study; it says who.
        NoAnswerError: if Slurm does not answer; the next launch continues.
        LaunchError: if Slurm refuses, or it would go over the budget.
    """
    study.path.mkdir(parents=True, exist_ok=True)
    hold = Claim.take(launch_claim(study))
    try:
        ready()
        seen = _settled(study, runs, request)
        sent = coming(study, runs, seen, request)
        price.require_budget(request.limit, seen.spent + _under_way(seen), sent.price)
        _make_ready(study, sent.runs, seen)
        _send(study, sent.batches, _preparing(seen))
        return sent
    finally:
        hold.release()


def _settled(study: StudyDir, runs: Sequence[Run], request: Request) -> Situation:
    """How the study stands when it is known of every batch whether Slurm has it.

    A batch without a number is looked up by its name. One that the queue does not hold, and that was written so long
    ago that it cannot be on its way, is closed: should it turn up later, its tasks leave at once.
    """
    while True:
        seen = look(study, runs, request)
        if seen.batches and seen.queue is None:
            raise slurm.NoAnswerError(seen.notes[0] if seen.notes else "Slurm does not answer.")
        open_ones = [one for one in seen.batches if one.job is None]
        if not open_ones:
            return seen
        for one in open_ones:
            folder = batch.folder_of(study, one.name)
            job = seen.queue.named(one.job_name) if seen.queue else None
            if job is not None:
                batch.record_job(folder, job)
            elif time.time() - one.created > SETTLE_SECONDS:
                batch.record_job(folder, 0)
        time.sleep(0.5)


def _by_resources(
    runs: Sequence[Run], wanted: dict[str, State], cluster: Cluster
) -> Iterator[tuple[float | None, int, list[Run]]]:
    """Runs by what a job of theirs needs otherwise than planned: (host memory in GB, lanes, runs)."""
    groups: dict[tuple[float | None, int], list[Run]] = defaultdict(list)
    for run in runs:
        state = wanted[run.run_id]
        lanes, memory = cluster.lanes or LANES, None
        if state.place is not None and state.cause == "gpu memory":
            lanes = max(1, len(state.place.batch.tasks[state.place.task]) // 2)
        if state.place is not None and state.cause == "host memory":
            memory = _more_memory(state, cluster)
        groups[memory, lanes].append(run)
    for (memory, lanes), group in groups.items():
        yield memory, lanes, group


def _more_memory(state: State, cluster: Cluster) -> float | None:
    """Twice what the job had, as far as the profile allows; None where that is not known."""
    gpu = gpu_of(cluster)[1]
    last = state.place.batch.last(state.place.task) if state.place else None
    had = (last.memory_gb if last else None) or gpu.memory_gb
    if had is None:
        return gpu.most_memory_gb
    return min(2 * had, gpu.most_memory_gb or 2 * (gpu.memory_gb or had))


def _training(
    study: StudyDir, packs: Sequence[Pack], memory: float | None, request: Request, pace: price.Pace
) -> Iterator[Batch]:
    """Arrays of packs: one for each time limit, none longer than Slurm allows."""
    by_limit: dict[int, list[Pack]] = defaultdict(list)
    for each in packs:
        by_limit[price.minutes([price.seconds(each, pace)], request.cluster)].append(each)
    for minutes, some in by_limit.items():
        for part in _parts(some, request.cluster.max_array):
            tasks = tuple(tuple(run.run_id for run in each.runs) for each in part)
            seconds = tuple(price.seconds(each, pace) for each in part)
            yield _batch(study, TRAIN, tasks, seconds, minutes, memory, request)


def _preparations(
    study: StudyDir,
    runs: Sequence[Run],
    chosen: Sequence[Run],
    seen: Situation,
    request: Request,
    pace: price.Pace,
) -> Iterator[Batch]:
    """An array with a task for each culture whose cache is neither there nor being made."""
    by_id = {run.run_id: run for run in runs}
    being_made = {
        folder_of(by_id[task[0]].config, by_id[task[0]].config.data.digest)
        for one, index in _alive(seen, PREPARE)
        if (task := one.tasks[index])[0] in by_id
    }
    needed = {
        folder_of(run.config, run.config.data.digest): run
        for run in reversed(chosen)
        if run.config.variant is not Variant.base
    }
    todo = [run for folder, run in needed.items() if folder not in being_made and not folder.is_dir()][::-1]
    for part in _parts(todo, request.cluster.max_array):
        seconds = tuple(price.preparing(run, pace) for run in part)
        minutes = price.minutes(seconds, request.cluster)
        yield _batch(study, PREPARE, tuple((run.run_id,) for run in part), seconds, minutes, None, request)


def _batch(
    study: StudyDir,
    stage: str,
    tasks: tuple[batch.Task, ...],
    seconds: tuple[float, ...],
    minutes: int,
    memory: float | None,
    request: Request,
) -> Batch:
    cluster, (word, gpu) = request.cluster, gpu_of(request.cluster)
    name = batch.new_name(stage)
    return Batch(
        name=name,
        stage=stage,
        created=time.time(),
        user=claim.user(),
        tasks=tasks,
        seconds=seconds,
        gpu=word,
        su_per_hour=gpu.su_per_hour,
        minutes=minutes,
        parameters=submit.parameters(cluster, f"{study.name}.{name}", minutes, memory),
        cluster=to_plain(cluster),
        by_hand=request.by_hand,
        limit=request.limit,
    )


def _make_ready(study: StudyDir, runs: Sequence[Run], seen: Situation) -> None:
    """Write the configs, set earlier failures aside, and take the claims of jobs that the queue no longer holds."""

    def ready(run: Run) -> None:
        store.write_config(study, run)
        folder = study.run(run.run_id)
        owner = seen.files[run.run_id].owner
        if owner is not None and owner.job:
            claim.evict(folder.claim, owner)
        record.set_aside(folder)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ready, runs))


def _send(study: StudyDir, batches: Sequence[Batch], preparing: Sequence[int]) -> None:
    """Training waits for every culture's preparation to end, well or not: a pack makes what it finds missing."""
    waits = list(preparing)
    for one in batches:
        if one.stage == TRAIN and waits:
            jobs = ":".join(str(job) for job in waits)
            one = replace(one, parameters={**one.parameters, "dependency": f"afterany:{jobs}"})
        one = replace(one, created=time.time())
        batch.write(study, one)
        try:
            job = submit.submit(study, one)
        except slurm.NoAnswerError:
            raise
        except LaunchError:
            batch.record_job(batch.folder_of(study, one.name), 0)
            raise
        if one.stage == PREPARE:
            waits.append(job)


def _preparing(seen: Situation) -> list[int]:
    return sorted({one.job for one, _ in _alive(seen, PREPARE) if one.job})


def _under_way(seen: Situation) -> float:
    """Service units that the tasks in the queue are still expected to take."""
    left = 0.0
    for stage in (PREPARE, TRAIN):
        for one, task in _alive(seen, stage):
            last = one.last(task)
            used = last.seconds if last else 0.0
            left += max(0.0, one.seconds[task] - used) / 3600 * one.su_per_hour
    return left


def _alive(seen: Situation, stage: str) -> Iterator[tuple[Batch, int]]:
    """The tasks of a stage that the queue holds."""
    for one in seen.batches:
        for task in range(len(one.tasks)):
            entry = (
                seen.queue.find(one.job_name, one.job, task) if seen.queue and one.stage == stage else None
            )
            if entry is not None and entry.alive:
                yield one, task


def _parts(items: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]
