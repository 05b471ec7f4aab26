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

from scoft_hpc.launch.slurm.client import Entry, Queue
from scoft_hpc.launch.tracking.retry_policy import by_state, policy
from scoft_hpc.study.job_array import TRAIN, Attempt, Batch
from scoft_hpc.study.lease import LEASE_SECONDS, Owner, user
from scoft_hpc.study.run_status import Status

UNKNOWN = "Slurm does not answer"


@dataclass(frozen=True)
class Files:
    """What a run's folder tells: `status` as derived from files alone, `progress` as `record.progress`."""

    status: Status
    failure: dict[str, Any] | None
    owner: Owner | None
    progress: int


@dataclass(frozen=True)
class Place:
    """Where a run was sent last."""

    batch: Batch
    task: int

    @property
    def job(self) -> str:
        """Slurm's name of the task, as `123_4`; empty if it is not known to have been accepted."""
        return f"{self.batch.job}_{self.task}" if self.batch.job else ""


@dataclass(frozen=True)
class State:
    """What a run is.

    Attributes:
        cause: why it is failed or lost, a word of `policy.CAUSES`.
        note: a few words to the state, such as Slurm's reason for a wait.
        tries: attempts in a row that saved nothing new, since a person asked last.
        alive: its job is in the queue, so it must not be sent again.
    """

    run_id: str
    status: Status
    cause: str | None = None
    note: str = ""
    place: Place | None = None
    entry: Entry | None = None
    tries: int = 0
    alive: bool = False


def places(batches: Iterable[Batch]) -> dict[str, Place]:
    """Where each run was sent last, by run id; batches that were never accepted do not count."""
    return {
        run: Place(batch, task)
        for batch in batches
        if batch.stage == TRAIN and batch.job != 0
        for task, runs in enumerate(batch.tasks)
        for run in runs
    }


def states(files: Mapping[str, Files], batches: Sequence[Batch], queue: Queue | None) -> dict[str, State]:
    """Every run's state, by run id; `queue` is None where Slurm does not answer."""
    sent = places(batches)
    tries = tries_of(files, batches)
    found = {}
    for run, known in files.items():
        place = sent.get(run)
        found[run] = (
            _alone(run, known) if place is None else _sent(run, known, place, queue, tries.get(run, 0))
        )
    return found


def missing(found: Iterable[State], by_hand: bool, retry: bool = False) -> list[State]:
    """The runs to send now.

    Args:
        by_hand: a person asks: what was lost or cancelled is sent whatever its history. Else, as from an ending
            job, only what its cause allows, as often as it allows.
        retry: what failed is sent too.
    """
    return [state for state in found if not state.alive and _wanted(state, by_hand, retry)]


def _wanted(state: State, by_hand: bool, retry: bool) -> bool:
    follows = policy(state.cause)
    if state.status is Status.planned:
        return by_hand
    if state.status is Status.lost:
        return by_hand or (follows.again and state.tries < follows.tries)
    if state.cause == "gpu memory" and state.place and len(state.place.batch.tasks[state.place.task]) == 1:
        return retry  # a lane alone cannot be halved
    if state.status is Status.failed:
        return retry or (follows.again and state.tries < follows.tries)
    return False


def _alone(run: str, known: Files) -> State:
    """A run that Slurm was never given: whatever its files say, as on one machine."""
    cause = known.failure.get("cause") if known.failure and known.status is Status.failed else None
    at_work = known.status is Status.running
    note = f"{known.owner}" if at_work and known.owner else ""
    return State(run, known.status, "lost" if known.status is Status.lost else cause, note, alive=at_work)


def _sent(run: str, known: Files, place: Place, queue: Queue | None, tries: int) -> State:
    entry = None if queue is None else queue.find(place.batch.job_name, place.batch.job, place.task)
    attempt = place.batch.last(place.task)
    alive = entry.alive if entry else queue is None or place.batch.job is None or _hidden(place, attempt)
    if known.status is Status.done:
        return State(run, Status.done, None, "", place, entry, 0, False)
    if known.status is Status.running and known.owner and not known.owner.job:  # a person runs it by hand
        return State(run, Status.running, None, str(known.owner), place, entry, tries, True)
    failure = known.failure
    if failure is not None and failure["time"] >= place.batch.created:
        cause = str(failure["cause"])
        return State(run, Status.failed, cause, str(failure["message"]), place, entry, tries, alive)
    if not alive:
        cause = _ending(place, entry, attempt)
        return State(run, Status.lost, cause, _told(attempt), place, entry, tries)
    status, note = _living(known, entry, attempt, place)
    return State(run, status, None, note, place, entry, tries, True)


def _hidden(place: Place, attempt: Attempt | None) -> bool:
    """Whether another person's job may be at work all the same: some sites show everyone their own jobs only."""
    if place.batch.user == user() or (attempt is not None and attempt.ended is not None):
        return False
    return place.task not in place.batch.verdicts and (
        attempt is None or time.time() - attempt.alive < LEASE_SECONDS
    )


def _living(known: Files, entry: Entry | None, attempt: Attempt | None, place: Place) -> tuple[Status, str]:
    """A run whose job is in the queue, or may be."""
    ours = known.owner is not None and known.owner.job == place.job and known.status is Status.running
    if entry is None:
        at_work = attempt is not None and attempt.ended is None and ours
        return (Status.running if at_work else Status.queued), UNKNOWN if place.batch.job else "being sent"
    if entry.state == "PENDING":
        return Status.queued, entry.reason
    if entry.state in ("RUNNING", "COMPLETING"):
        return (Status.running, "") if ours else (Status.queued, "starting")
    return (Status.running if ours else Status.queued), entry.state.lower()


def _ending(place: Place, entry: Entry | None, attempt: Attempt | None) -> str:
    """Why a job that is gone left its runs without a word: its own last word, else Slurm's."""
    if attempt is not None and attempt.cause is not None:
        return attempt.cause
    verdict = place.batch.verdicts.get(place.task)
    if attempt is None and entry is None and verdict is None:
        return (
            "cancelled"  # while it waited: Slurm keeps no record of an array's element that never was a job
        )
    return by_state(entry.state if entry else verdict.state if verdict else None)


def _told(attempt: Attempt | None) -> str:
    return attempt.note if attempt else "its job left the queue before it started"


def tries_of(files: Mapping[str, Files], batches: Sequence[Batch]) -> dict[str, int]:
    """By run: how many of its newest attempts began with what it has now, since a person sent it last."""
    counts: dict[str, int] = {}
    closed: set[str] = set()
    for batch in reversed(batches):
        for attempt in sorted(batch.attempts, key=lambda a: -a.started):
            for run, progress in attempt.progress.items():
                if run in closed or run not in files:
                    continue
                if progress != files[run].progress:
                    closed.add(run)
                else:
                    counts[run] = counts.get(run, 0) + 1
        if batch.by_hand:
            closed.update(run for task in batch.tasks for run in task)
    return counts
