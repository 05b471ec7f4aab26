"""Slurm's commands, each called in one place: what the queue holds, what became of a job, cancel and requeue.

A state is never taken for the truth of a run: that lies in the run's files. The queue tells which jobs live, so that
none is sent twice and none is waited for in vain.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scoft_hpc.errors import LaunchError
from scoft_hpc.study.lease import user

TIMEOUT_SECONDS = 30.0
"""How long a command of Slurm may take; its own patience with a silent controller is shorter."""

ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
    "REVOKED", "TIMEOUT",
}  # fmt: skip
"""The states that a job does not leave. In any other it lives: pending, held, configuring, suspended, completing …"""

FIELDS = ("%F", "%K", "%T", "%r", "%j", "%M", "%S", "%L")
"""Of squeue: array, index, state, reason, name, elapsed time, (expected) start, time to the limit."""

SECRETS = ("WANDB_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY")
"""Not given to jobs: Slurm keeps a job's environment in files. A mirror finds W&B's login in the person's home."""


NO_SLURM = "this machine has no Slurm: no sbatch, no squeue. Log in to the cluster, or take cluster=local."


class NoAnswerError(LaunchError):
    """Slurm's controller or database does not answer: nothing is known, neither good nor bad."""


@dataclass(frozen=True)
class QueueEntry:
    """An array's element as squeue tells it.

    Attributes:
        job, index: of the array and in it.
        elapsed_seconds: how long it has run; start: when it starts or did, as Slurm writes it.
        remaining_seconds: to its time limit.
    """

    job: int
    index: int
    state: str
    reason: str
    name: str
    elapsed_seconds: float
    start: str
    remaining_seconds: float = math.inf

    @property
    def alive(self) -> bool:
        return self.state not in ENDED


class Queue:
    """A snapshot of the user's jobs, ended ones included as long as the controller remembers them."""

    def __init__(self, entries: Iterable[QueueEntry]) -> None:
        self.entries = list(entries)
        self._by_task = {(entry.name, entry.job, entry.index): entry for entry in self.entries}

    def find(self, name: str, job: int | None, index: int) -> QueueEntry | None:
        """An array's element. Its number alone is not enough: a controller that was killed may give it out again."""
        return None if job is None else self._by_task.get((name, job, index))

    def named(self, name: str) -> int | None:
        """The number of the array that is called so."""
        jobs = [entry.job for entry in self.entries if entry.name == name]
        return min(jobs, default=None)


def is_available() -> bool:
    """Whether this machine has Slurm's commands."""
    return shutil.which("sbatch") is not None and shutil.which("squeue") is not None


def require() -> None:
    """Raise LaunchError unless this machine has Slurm's commands."""
    if not is_available():
        raise LaunchError(NO_SLURM)


def queue(users: Iterable[str] = ()) -> Queue:
    """One squeue for everything that this person, or one of `users`, has sent.

    Raises:
        NoAnswerError: if the controller does not answer.
    """
    who = ",".join(sorted({user(), *users}))
    command = ["squeue", "--noheader", "--array", "--states=all", "--user", who, "--format", "|".join(FIELDS)]
    return Queue(parse_queue(_run(command)))


def parse_queue(text: str) -> list[QueueEntry]:
    """The lines of squeue in the format `FIELDS`; jobs that are no arrays are left out."""
    entries = []
    for line in text.splitlines():
        parts = line.split("|")
        if len(parts) != len(FIELDS) or not parts[1].isdigit():
            continue
        job, index, state, reason, name, elapsed, start, limit = parts
        remaining = math.inf if limit == "UNLIMITED" else parse_duration(limit)
        task = int(job), int(index), state, reason, name
        entries.append(QueueEntry(*task, parse_duration(elapsed), start, remaining))
    return entries


def accounting(jobs: Iterable[int]) -> dict[tuple[str, int, int], tuple[str, float]]:
    """The database's last record of arrays: state and seconds by (name, array, index). Ask at most once a minute.

    Raises:
        NoAnswerError: if there is no database, or it does not answer.
    """
    numbers = ",".join(map(str, jobs))
    command = ["sacct", "--noheader", "--parsable2", "--allocations", "--duplicates"]
    text = _run([*command, "--format", "JobID,State,ElapsedRaw,JobName", "--jobs", numbers])
    return parse_accounting(text)


def parse_accounting(text: str) -> dict[tuple[str, int, int], tuple[str, float]]:
    """A requeued task has a line a start: the last is its state, the seconds are of all together.

    What was never split off an array, as `12_[4-7]`, has not started and is passed over.
    """
    jobs: dict[tuple[str, int, int], tuple[str, float]] = {}
    for line in text.splitlines():
        number, state, seconds, name = [*line.split("|", 3), "", "", ""][:4]
        job, _, index = number.partition("_")
        if job.isdigit() and index.isdigit():
            key = name, int(job), int(index)
            before = jobs.get(key, ("", 0.0))[1]
            jobs[key] = state.split()[0], before + (float(seconds) if seconds.isdigit() else 0.0)
    return jobs


def cancel(tasks: Sequence[str]) -> None:
    """scancel; a pending task goes, a running one receives the signal to save first. Tasks are written `123_4`.

    One that has ended by itself meanwhile is passed over.

    Raises:
        NoAnswerError: if the controller does not answer.
    """
    for start in range(0, len(tasks), 500):
        _run(["scancel", "--quiet", *tasks[start : start + 500]])


def requeue(task: str) -> bool:
    """Ask Slurm to start a task again when it can; whether it will (one that is pending already will).

    SIGTERM is ignored in the child: the request itself may end this job before it is answered.
    """
    try:
        ended = subprocess.run(
            ["scontrol", "requeue", task],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0 or "pending" in ended.stderr.lower()


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment to submit from: without the traces of a job around us, and without secrets.

    A job that is sent from inside a job would inherit that one's SLURM_* (its CPU binding, for one).
    """
    keep = ("SLURM_CONF",)
    job = ("SLURM_", "SLURMD_", "SBATCH_", "SRUN_", "SCOFT_")
    return {
        name: value
        for name, value in environment.items()
        if name not in SECRETS and (name in keep or not name.startswith(job))
    }


def parse_duration(text: str) -> float:
    """Slurm's `1-02:03:04`, `02:03` or `INVALID` in seconds."""
    days, _, rest = text.rpartition("-")
    try:
        parts = [int(part) for part in rest.split(":")]
    except ValueError:
        return 0.0
    seconds = 0
    for part in parts:
        seconds = seconds * 60 + part
    return seconds + 86400.0 * int(days or 0)


def _run(command: Sequence[str]) -> str:
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            env=clean_environment(os.environ),
        )
    except FileNotFoundError:
        raise LaunchError(NO_SLURM) from None
    except subprocess.TimeoutExpired:
        raise NoAnswerError(
            f"Slurm does not answer: {command[0]} took longer than {TIMEOUT_SECONDS:.0f} s."
        ) from None
    if ended.returncode:
        message = " ".join(ended.stderr.split()) or f"exit code {ended.returncode}"
        raise NoAnswerError(f"Slurm does not answer: {message}")
    return ended.stdout
