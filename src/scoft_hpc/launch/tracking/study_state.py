"""The present state of a study: its files, what was sent to Slurm, one squeue, and seldom one sacct."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from scoft_hpc.errors import LaunchError
from scoft_hpc.launch.slurm import client
from scoft_hpc.launch.slurm.client import Queue, QueueEntry
from scoft_hpc.launch.tracking import run_state
from scoft_hpc.launch.tracking.retry_policy import LOST
from scoft_hpc.launch.tracking.run_state import RunFiles, RunState
from scoft_hpc.study import costs, job_array, lease, run_status
from scoft_hpc.study.costs import Cost
from scoft_hpc.study.job_array import AccountingRecord, JobArray
from scoft_hpc.study.paths import RunDir, StudyDir

Accounting = Mapping[tuple[str, int, int], tuple[str, float]]
ACCOUNTING_SECONDS = 60.0
"""Between two calls of sacct, by whomever: the database serves the whole site."""


@dataclass(frozen=True)
class StudyState:
    """A study at one moment.

    Attributes:
        queue: None where nothing was ever sent to Slurm, or where it does not answer.
        states: every planned run's, in the plan's order, by run id.
        warnings: what the user should know about how the state was read.
        unreadable: a sentence about each array that could not be read; `warnings` have them too. What it submitted is
            not known, so nothing may be submitted beside it.
    """

    arrays: tuple[JobArray, ...]
    queue: Queue | None
    files: dict[str, RunFiles]
    states: dict[str, RunState]
    warnings: tuple[str, ...]
    unreadable: tuple[str, ...] = ()

    @property
    def cost(self) -> Cost:
        """What the arrays cost so far, jobs at work included, and what they were estimated to cost."""
        return costs.total(costs.by_stage(self.arrays))

    def live_tasks(self, *stages: str) -> Iterator[tuple[JobArray, int, QueueEntry]]:
        """The tasks that the queue holds, of these stages or of all, with what it says of them."""
        for array in self.arrays:
            for task in range(len(array.tasks)):
                entry = self.queue.find(array.job_name, array.job, task) if self.queue else None
                if entry is not None and entry.alive and (not stages or array.stage in stages):
                    yield array, task, entry


def read(study: StudyDir, runs: Sequence[str]) -> StudyState:
    """Read the state of `runs`: one squeue, at most one sacct per minute; stores only Slurm's accounting."""
    arrays, unreadable = job_array.read_readable(study)
    warnings = list(unreadable)
    queue = None
    if arrays:
        try:
            queue = client.queue(array.user for array in arrays)
            arrays = _with_accounting(study, arrays, queue)
        except LaunchError as error:
            warnings.append(f"{error} What follows is read from the runs' files alone.")
    with ThreadPoolExecutor(8) as pool:
        files = dict(zip(runs, pool.map(lambda run: _files(study.run(run)), runs), strict=True))
    states = run_state.states(files, arrays, queue)
    return StudyState(tuple(arrays), queue, files, states, tuple(warnings), tuple(unreadable))


def _files(run: RunDir) -> RunFiles:
    if run.result.exists():
        return RunFiles(run_status.Status.done, None, None, 0)
    return RunFiles(
        run_status.status(run), run_status.failure(run), lease.live_owner(run.lease), run_status.progress(run)
    )


def _with_accounting(study: StudyDir, arrays: list[JobArray], queue: Queue) -> list[JobArray]:
    """The arrays with what Slurm says of their ended tasks, which is stored, since Slurm forgets it."""
    forgotten = [
        array.job
        for array in arrays
        if array.job and any(_silent(array, task, queue) for task in range(len(array.tasks)))
    ]
    database = _accounting(study, forgotten) if forgotten else {}
    return [_updated(study, array, queue, database) for array in arrays]


def _updated(study: StudyDir, array: JobArray, queue: Queue, database: Accounting) -> JobArray:
    """The array with the queue's record of each ended task or, of a task that no record is known of, the database's."""
    new = {}
    for task in range(len(array.tasks)):
        entry = queue.find(array.job_name, array.job, task)
        in_database = database.get((array.job_name, array.job or 0, task))
        if entry is not None and not entry.alive:
            new[task] = AccountingRecord(entry.state, entry.elapsed_seconds)
        elif (
            entry is None and task not in array.accounting and in_database and in_database[0] in client.ENDED
        ):
            new[task] = AccountingRecord(*in_database)
    new = {task: record for task, record in new.items() if array.accounting.get(task) != record}
    if new:
        job_array.save_accounting(study, array, new)
    return replace(array, accounting={**array.accounting, **new})


def _silent(array: JobArray, task: int, queue: Queue) -> bool:
    """Neither the queue nor the task itself nor an earlier look knows how it ended."""
    if task in array.accounting or queue.find(array.job_name, array.job, task) is not None:
        return False
    attempt = array.last(task)
    return attempt is None or attempt.ended is None or (attempt.cause in (None, LOST) and attempt.code != 0)


def _accounting(study: StudyDir, jobs: list[int]) -> Accounting:
    """sacct, unless it was queried within the last minute; nothing if it does not answer, as where there is none."""
    last_query = study.jobs / "accounting.queried"
    try:
        if time.time() - last_query.stat().st_mtime < ACCOUNTING_SECONDS:
            return {}
    except OSError:
        pass
    try:
        last_query.touch()
        return client.accounting(jobs)
    except (LaunchError, OSError):
        return {}
