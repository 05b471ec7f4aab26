"""What is known of a run, derived from its files at each look and stored nowhere."""

from __future__ import annotations

import json
import time
from enum import Enum
from typing import Any

from scoft_hpc.runs import atomic, claim, journal
from scoft_hpc.runs.layout import RunDir


class Status(Enum):
    """The states of a run. `queued` needs a queue and is told by the launcher that has one."""

    planned = "planned"
    queued = "queued"
    running = "running"
    done = "done"
    failed = "failed"
    lost = "lost"


def status(run: RunDir) -> Status:
    """Files first: a result outranks everything, a living owner outranks an old failure."""
    if run.result.exists():
        return Status.done
    if claim.alive(run.claim) is not None:
        return Status.running
    if run.failure.exists():
        return Status.failed
    if run.claim.exists():
        return Status.lost
    return Status.planned


def step(run: RunDir) -> int:
    """Training updates done so far, as the journal tells."""
    row = journal.last(run.metrics)
    return 0 if row is None else int(row[journal.STEP])


def result(run: RunDir) -> dict[str, Any]:
    """The finished run's record; FileNotFoundError if it is not done."""
    content: dict[str, Any] = json.loads(run.result.read_text())
    return content


def failure(run: RunDir) -> dict[str, Any] | None:
    """{"cause", "message", "step", "time"} of the last attempt, or None."""
    if not run.failure.exists():
        return None
    content: dict[str, Any] = json.loads(run.failure.read_text())
    return content


def write_failure(run: RunDir, cause: str, message: str, at_step: int) -> None:
    """Keep the reason of a failed attempt. `cause` is a short word: nan, out of memory, error."""
    atomic.write_json(
        run.failure, {"cause": cause, "message": message, "step": at_step, "time": time.time()}
    )


def start_attempt(run: RunDir) -> int:
    """Set an old failure aside under its number; return the number of the attempt that starts (from 1)."""
    earlier = len(list(run.path.glob("failure-*.json")))
    if run.failure.exists():
        run.failure.rename(run.path / f"failure-{earlier + 1}.json")
        return earlier + 2
    return earlier + 1
