"""The state of a run, derived from its files on each call and stored nowhere."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from scoft_hpc.errors import RunError
from scoft_hpc.study import atomic, lease, metrics_log
from scoft_hpc.study.json_files import read_json
from scoft_hpc.study.paths import RunDir


class Status(Enum):
    """The states of a run. `queued` is set by a launcher that has a queue."""

    planned = "planned"
    queued = "queued"
    running = "running"
    done = "done"
    failed = "failed"
    lost = "lost"


BROKEN = (Status.failed, Status.lost)
"""The states of runs that ended without a result."""


def status(run: RunDir) -> Status:
    """Files first: a result outranks everything, a living owner outranks an old failure."""
    if run.result.exists():
        return Status.done
    if lease.live_owner(run.lease) is not None:
        return Status.running
    if run.failure.exists():
        return Status.failed
    if run.lease.exists():
        return Status.lost
    return Status.planned


def step(run: RunDir) -> int:
    """Training updates done so far, according to the metrics log."""
    row = metrics_log.last(run.metrics)
    return 0 if row is None else int(row[metrics_log.STEP])


def progress(run: RunDir) -> int:
    """What an interruption now would keep: updates in the newest checkpoint plus images drawn.

    An attempt that ends with the number that it began with has lost all of its work.
    """
    return saved_step(run) + images(run.samples) + images(run.neutral)


def images(folder: Path) -> int:
    """How many images are drawn in a folder of samples; temporary files do not count."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.name.endswith(".png") and entry.name[0] != "." for entry in entries)
    except FileNotFoundError:
        return 0


def saved_step(run: RunDir) -> int:
    """Updates in the newest checkpoint."""
    return max((int(path.stem.rpartition("-")[2]) for path in run.checkpoints.glob("step-*")), default=0)


def result(run: RunDir) -> dict[str, Any]:
    """The finished run's record; empty if it is not done, or the record cannot be read."""
    return read_json(run.result)


def work_seconds(result: Mapping[str, Any]) -> float | None:
    """Training, drawing and scoring together, according to a run's `result`; None if it has none."""
    seconds = result.get("seconds")
    return sum(seconds.values()) if isinstance(seconds, dict) and seconds else None


def failure(run: RunDir) -> dict[str, Any] | None:
    """{"cause", "message", "step", "time"} of the last attempt, or None."""
    return read_json(run.failure) or None


def earlier_failure(run: RunDir) -> dict[str, Any] | None:
    """The failure that was archived last, or None."""
    numbers = [int(path.stem.rpartition("-")[2]) for path in run.path.glob("failure-*.json")]
    return read_json(run.path / f"failure-{max(numbers)}.json") or None if numbers else None


def write_result(run: RunDir, held: lease.Lease, attempt: int, seconds: dict[str, float]) -> None:
    """Publish the run: from now on it is done. The result names the Slurm job and its number of restarts.

    Raises:
        RunError: if the lease was taken over; its present owner will publish.
    """
    weights = run.lora.read_bytes() if run.lora.exists() else None
    content = {
        "run_id": run.run_id,
        "seconds": seconds,
        "steps": step(run),
        "attempt": attempt,
        "job": held.owner.job,
        "restart": held.owner.restart,
        "finished": time.time(),
        "samples": images(run.samples),
        "lora_sha256": None if weights is None else hashlib.sha256(weights).hexdigest(),
    }
    if not held.is_held():
        raise RunError(
            f"{run.run_id}: another process has taken this run over; nothing is published from here."
        )
    atomic.write_json(run.result, content)


def write_failure(run: RunDir, cause: str, message: str, at_step: int) -> None:
    """Record why an attempt failed. `cause` is a category: nan, gpu memory, error."""
    atomic.write_json(run.failure, {"cause": cause, "message": message, "step": at_step, "time": time.time()})


def start_attempt(run: RunDir) -> int:
    """Archive an earlier failure; return the number of the attempt that starts (from 1)."""
    archive_failure(run)
    return len(list(run.path.glob("failure-*.json"))) + 1


def archive_failure(run: RunDir) -> None:
    """Rename an earlier failure to its number: the run counts as planned again."""
    if run.failure.exists():
        earlier = len(list(run.path.glob("failure-*.json")))
        run.failure.rename(run.path / f"failure-{earlier + 1}.json")
