"""How a study stands now: its files, what was sent to Slurm, one squeue, and seldom one sacct."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from scoft_hpc.errors import LaunchError
from scoft_hpc.launch.slurm import client
from scoft_hpc.launch.slurm.client import Entry, Queue
from scoft_hpc.launch.tracking import run_state
from scoft_hpc.launch.tracking.run_state import Files, State
from scoft_hpc.study import costs, job_array, lease, run_status
from scoft_hpc.study.costs import Cost
from scoft_hpc.study.job_array import Batch, Verdict
from scoft_hpc.study.paths import RunDir, StudyDir

Accounting = Mapping[tuple[str, int, int], tuple[str, float]]
ACCOUNTING_SECONDS = 60.0
"""Between two calls of sacct, by whomever: the database serves the whole site."""


@dataclass(frozen=True)
class Situation:
    """A study at one moment.

    Attributes:
        queue: None where nothing was ever sent to Slurm, or where it does not answer.
        states: every planned run's, in the plan's order, by run id.
        notes: what a person should know of the looking itself.
        unreadable: a sentence about each array that could not be read; `notes` have them too. What it submitted is
            not known, so nothing may be submitted beside it.
    """

    batches: tuple[Batch, ...]
    queue: Queue | None
    files: dict[str, Files]
    states: dict[str, State]
    notes: tuple[str, ...]
    unreadable: tuple[str, ...] = ()

    @property
    def cost(self) -> Cost:
        """What the arrays cost so far, jobs at work included, and what they were estimated to cost."""
        return costs.total(costs.by_stage(self.batches))

    def alive(self, *stages: str) -> Iterator[tuple[Batch, int, Entry]]:
        """The tasks that the queue holds, of these stages or of all, with what it says of them."""
        for one in self.batches:
            for task in range(len(one.tasks)):
                entry = self.queue.find(one.job_name, one.job, task) if self.queue else None
                if entry is not None and entry.alive and (not stages or one.stage in stages):
                    yield one, task, entry


def read(study: StudyDir, runs: Sequence[str]) -> Situation:
    """Look at the planned `runs`: one squeue, and at most one sacct a minute; writes nothing but what Slurm said."""
    batches, unreadable = job_array.read_readable(study)
    notes = list(unreadable)
    queue = None
    if batches:
        try:
            queue = client.queue(one.user for one in batches)
            batches = _with_verdicts(study, batches, queue)
        except LaunchError as error:
            notes.append(f"{error} What follows is told by the runs' files alone.")
    with ThreadPoolExecutor(8) as pool:
        files = dict(zip(runs, pool.map(lambda run: _files(study.run(run)), runs), strict=True))
    states = run_state.states(files, batches, queue)
    return Situation(tuple(batches), queue, files, states, tuple(notes), tuple(unreadable))


def _files(run: RunDir) -> Files:
    if run.result.exists():
        return Files(run_status.Status.done, None, None, 0)
    return Files(
        run_status.status(run), run_status.failure(run), lease.live_owner(run.lease), run_status.progress(run)
    )


def _with_verdicts(study: StudyDir, batches: list[Batch], queue: Queue) -> list[Batch]:
    """The batches with what Slurm says of their ended tasks, kept for the time when it has forgotten."""
    known = []
    for one in batches:
        ended = {}
        for task in range(len(one.tasks)):
            entry = queue.find(one.job_name, one.job, task)
            if entry is not None and not entry.alive:
                ended[task] = Verdict(entry.state, entry.used)
        fresh = {task: verdict for task, verdict in ended.items() if one.verdicts.get(task) != verdict}
        if fresh:
            job_array.keep_verdicts(study, one, fresh)
        known.append(replace(one, verdicts={**one.verdicts, **fresh}))
    forgotten = {
        one.job: one
        for one in known
        if one.job and any(_silent(one, task, queue) for task in range(len(one.tasks)))
    }
    said = _accounting(study, list(forgotten)) if forgotten else {}
    return [_add(study, one, said) if one.job in forgotten else one for one in known]


def _silent(one: Batch, task: int, queue: Queue) -> bool:
    """Neither the queue nor the task itself nor an earlier look knows how it ended."""
    if task in one.verdicts or queue.find(one.job_name, one.job, task) is not None:
        return False
    attempt = one.last(task)
    return attempt is None or attempt.ended is None or (attempt.cause is None and attempt.code != 0)


def _add(study: StudyDir, one: Batch, said: Accounting) -> Batch:
    """The batch with what the database says of its tasks that ended unseen."""
    found = {task: said.get((one.job_name, one.job or 0, task)) for task in range(len(one.tasks))}
    new = {
        task: Verdict(*word)
        for task, word in found.items()
        if word is not None and task not in one.verdicts and word[0] in client.ENDED
    }
    if new:
        job_array.keep_verdicts(study, one, new)
    return replace(one, verdicts={**one.verdicts, **new})


def _accounting(study: StudyDir, jobs: list[int]) -> Accounting:
    """sacct, unless it was asked within the last minute; nothing if it does not answer, as where there is none."""
    asked = study.jobs / "accounting.asked"
    try:
        if time.time() - asked.stat().st_mtime < ACCOUNTING_SECONDS:
            return {}
    except OSError:
        pass
    try:
        asked.touch()
        return client.accounting(jobs)
    except (LaunchError, OSError):
        return {}


def log_of(study: StudyDir, state: State) -> Path | None:
    """What the run's last job printed, if it was Slurm's and has printed anything."""
    from scoft_hpc.launch.slurm.sbatch import log_of as log_of_task

    if state.place is None or not state.place.batch.job:
        return None
    path = log_of_task(study, state.place.batch.job, state.place.task)
    return path if path.exists() else None
