"""What each run of a study is, from its files, what was sent, and the queue: the only place that decides.

The files outrank the queue: a result is a result whatever Slurm says. The queue outranks a lease: a run whose job has
left the queue is not at work, however fresh its lease. Where Slurm does not answer, the files alone decide, and what
they cannot tell counts as waiting, so that nothing is sent twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scoft_hpc.launch.slurm.client import Queue, QueueEntry
from scoft_hpc.launch.tracking.retry_policy import LOST, cause_of_end, policy
from scoft_hpc.study.job_array import TRAIN, Attempt, JobArray
from scoft_hpc.study.lease import LEASE_SECONDS, Owner, user
from scoft_hpc.study.run_status import Status

UNKNOWN = "Slurm does not answer"


@dataclass(frozen=True)
class RunFiles:
    """What a run's folder tells: `status` as derived from files alone, `progress` as `record.progress`."""

    status: Status
    failure: dict[str, Any] | None
    owner: Owner | None
    progress: int


@dataclass(frozen=True)
class TaskRef:
    """Where a run was sent last."""

    array: JobArray
    task: int

    @property
    def job(self) -> str:
        """Slurm's name of the task, as `123_4`; empty if it is not known to have been accepted."""
        return f"{self.array.job}_{self.task}" if self.array.job else ""


@dataclass(frozen=True)
class RunState:
    """What a run is.

    Attributes:
        cause: why it is failed or lost, one of `retry_policy.CAUSES`.
        note: a detail of the state, such as Slurm's reason for a wait.
        tries: attempts in a row that saved nothing new, since a person asked last.
        in_queue: its job is in the queue, so it must not be sent again.
    """

    run_id: str
    status: Status
    cause: str | None = None
    note: str = ""
    place: TaskRef | None = None
    entry: QueueEntry | None = None
    tries: int = 0
    in_queue: bool = False


def places(arrays: Iterable[JobArray]) -> dict[str, TaskRef]:
    """Where each run was sent last, by run id; arrays that were never accepted do not count."""
    return {
        run: TaskRef(array, task)
        for array in arrays
        if array.stage == TRAIN and array.job != 0
        for task, runs in enumerate(array.tasks)
        for run in runs
    }


def states(
    files: Mapping[str, RunFiles], arrays: Sequence[JobArray], queue: Queue | None
) -> dict[str, RunState]:
    """Every run's state, by run id; `queue` is None where Slurm does not answer."""
    sent = places(arrays)
    tries = attempts_without_progress(files, arrays)
    states_by_run = {}
    for run, known in files.items():
        place = sent.get(run)
        states_by_run[run] = (
            _state_without_slurm(run, known)
            if place is None
            else _sent(run, known, place, queue, tries.get(run, 0))
        )
    return states_by_run


def runs_to_submit(
    states_by_run: Iterable[RunState], user_requested: bool, retry: bool = False
) -> list[RunState]:
    """The runs to send now.

    Args:
        user_requested: a person asks: what was lost or cancelled is sent whatever its history. Else, as from an ending
            job, only what its cause allows, as often as it allows.
        retry: what failed is sent too.
    """
    return [state for state in states_by_run if not state.in_queue and _wanted(state, user_requested, retry)]


def _wanted(state: RunState, user_requested: bool, retry: bool) -> bool:
    follows = policy(state.cause)
    if state.status is Status.planned:
        return user_requested
    if state.status is Status.lost:
        return user_requested or (follows.auto_retry and state.tries < follows.tries)
    if state.cause == "gpu memory" and state.place and len(state.place.array.tasks[state.place.task]) == 1:
        return retry  # a lane alone cannot be halved
    if state.status is Status.failed:
        return retry or (follows.auto_retry and state.tries < follows.tries)
    return False


def _state_without_slurm(run: str, known: RunFiles) -> RunState:
    """A run that Slurm was never given: whatever its files say, as on one machine."""
    cause = known.failure.get("cause") if known.failure and known.status is Status.failed else None
    at_work = known.status is Status.running
    note = f"{known.owner}" if at_work and known.owner else ""
    return RunState(
        run, known.status, "lost" if known.status is Status.lost else cause, note, in_queue=at_work
    )


def _sent(run: str, known: RunFiles, place: TaskRef, queue: Queue | None, tries: int) -> RunState:
    entry = None if queue is None else queue.find(place.array.job_name, place.array.job, place.task)
    attempt = place.array.last(place.task)
    in_queue = entry.alive if entry else queue is None or place.array.job is None or _hidden(place, attempt)
    if known.status is Status.done:
        return RunState(run, Status.done, None, "", place, entry, 0, False)
    if known.status is Status.running and known.owner and not known.owner.job:  # a person runs it by hand
        return RunState(run, Status.running, None, str(known.owner), place, entry, tries, True)
    failure = known.failure
    if failure is not None and failure["time"] >= place.array.created:
        cause = str(failure["cause"])
        return RunState(run, Status.failed, cause, str(failure["message"]), place, entry, tries, in_queue)
    if not in_queue:
        cause, note = _ending(place, entry, attempt)
        return RunState(run, Status.lost, cause, note, place, entry, tries)
    status, note = _living(known, entry, attempt, place)
    return RunState(run, status, None, note, place, entry, tries, True)


def _hidden(place: TaskRef, attempt: Attempt | None) -> bool:
    """Whether another person's job may be at work all the same: some sites show everyone their own jobs only."""
    if place.array.user == user() or (attempt is not None and attempt.ended is not None):
        return False
    return place.task not in place.array.accounting and (
        attempt is None or time.time() - attempt.last_heartbeat < LEASE_SECONDS
    )


def _living(
    known: RunFiles, entry: QueueEntry | None, attempt: Attempt | None, place: TaskRef
) -> tuple[Status, str]:
    """A run whose job is in the queue, or may be."""
    is_owner = known.owner is not None and known.owner.job == place.job and known.status is Status.running
    if entry is None:
        at_work = attempt is not None and attempt.ended is None and is_owner
        return (Status.running if at_work else Status.queued), UNKNOWN if place.array.job else "being sent"
    if entry.state == "PENDING":
        return Status.queued, entry.reason
    if entry.state in ("RUNNING", "COMPLETING"):
        return (Status.running, "") if is_owner else (Status.queued, "starting")
    return (Status.running if is_owner else Status.queued), entry.state.lower()


def _ending(place: TaskRef, entry: QueueEntry | None, attempt: Attempt | None) -> tuple[str, str]:
    """Why a job ended without a failure of its runs, and what it noted of that."""
    record = place.array.accounting.get(place.task)
    slurm_state = entry.state if entry else record.state if record else None
    if attempt is None:
        # Slurm keeps no record of a task that was cancelled while it waited.
        cause = cause_of_end(None, slurm_state) if slurm_state else "cancelled"
        return cause, "its job left the queue before it started"
    cause = cause_of_end(attempt.cause, slurm_state)
    return cause, attempt.note if cause == (attempt.cause or LOST) else ""


def attempts_without_progress(files: Mapping[str, RunFiles], arrays: Sequence[JobArray]) -> dict[str, int]:
    """By run: how many of its newest attempts began with what it has now, since a person sent it last."""
    counts: dict[str, int] = {}
    closed: set[str] = set()
    for array in reversed(arrays):
        for attempt in sorted(array.attempts, key=lambda a: -a.started):
            for run, progress in attempt.progress.items():
                if run in closed or run not in files:
                    continue
                if progress != files[run].progress:
                    closed.add(run)
                else:
                    counts[run] = counts.get(run, 0) + 1
        if array.user_requested:
            closed.update(run for task in array.tasks for run in task)
    return counts
