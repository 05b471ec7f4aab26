"""A study in Slurm as a whole: its jobs, what it has cost and will, and when it may be over. Pure."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from scoft_hpc.launch.slurm.client import QueueEntry
from scoft_hpc.launch.tracking.study_state import StudyState
from scoft_hpc.launch.views.run_progress import RunProgress
from scoft_hpc.study.job_array import TRAIN
from scoft_hpc.study.run_status import Status
from scoft_hpc.text import plural


@dataclass(frozen=True)
class TimeRemaining:
    """Seconds until the study is over; `more`: at least so many, since of some jobs nobody knows when they start."""

    seconds: float
    more: bool


def time_remaining(seen: StudyState, lanes: Sequence[RunProgress], now: float) -> TimeRemaining | None:
    """How long the study still takes; None where none of the lanes is at work or nothing is known."""
    if not any(lane.status in (Status.running, Status.queued) for lane in lanes):
        return None
    training = {lane.run_id: lane.eta_seconds or 0.0 for lane in lanes}
    parts = [eta for eta in training.values() if eta]
    more = any(lane.status in (Status.queued, Status.planned) for lane in lanes)
    if seen.queue is not None and seen.arrays:
        more = False
        for array, index, entry in seen.live_tasks():
            start = now - entry.elapsed_seconds if entry.state != "PENDING" else expected_start(entry)
            if start is None:
                more = True
            elif array.stage == TRAIN:
                estimate = start + array.seconds[index] - now
                parts.append(max([0.0, estimate, *(training.get(run, 0.0) for run in array.tasks[index])]))
    return TimeRemaining(max(parts), more) if parts and max(parts) > 0 else None


def expected_start(entry: QueueEntry) -> float | None:
    """When Slurm expects a waiting job to start, in seconds since the epoch, if it says so."""
    try:
        return datetime.datetime.fromisoformat(entry.start).timestamp()
    except ValueError:
        return None


def jobs(seen: StudyState, now: float) -> str:
    """Such as `3 jobs running, 2 waiting (Priority; expected to start 14:20)`; empty if none is in the queue."""
    entries = [entry for _, _, entry in seen.live_tasks()]
    waiting = [entry for entry in entries if entry.state == "PENDING"]
    at_work = len(entries) - len(waiting)
    sentences = []
    if at_work:
        sentences.append(f"{plural(at_work, 'job')} running")
    if waiting:
        reasons = [reason for reason, _ in Counter(entry.reason for entry in waiting).most_common(2)]
        reasons = [reason for reason in reasons if reason != "None"]
        expected = [
            start for entry in waiting if (start := expected_start(entry)) is not None and start > now
        ]
        parts = [", ".join(reasons)] if reasons else []
        parts += [f"expected to start {clock(min(expected), now)}"] if expected else []
        sentences.append(f"{len(waiting)} waiting" + (f" ({'; '.join(parts)})" if parts else ""))
    return ", ".join(sentences)


def clock(moment: float, now: float) -> str:
    """A time of day, with the date where it is not today."""
    then, today = datetime.datetime.fromtimestamp(moment), datetime.datetime.fromtimestamp(now)
    return then.strftime("%H:%M" if then.date() == today.date() else "%d %b %H:%M")
