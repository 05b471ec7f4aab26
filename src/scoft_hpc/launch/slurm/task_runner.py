"""One start of a task on a compute node: its process is run and watched, and its end classified."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from scoft_hpc.config import compose
from scoft_hpc.errors import HANDLED_EXIT_CODES, INTERRUPTED, ScoftError
from scoft_hpc.launch.local.executor import JOB_MODULE
from scoft_hpc.launch.local.live_sync_process import LAST_SECONDS, LiveSyncProcess, live_sync
from scoft_hpc.launch.slurm import client
from scoft_hpc.launch.tracking import run_state
from scoft_hpc.launch.tracking.retry_policy import LOST, cause_of_end, policy
from scoft_hpc.launch.tracking.run_state import RunFiles
from scoft_hpc.study import job_array, lease, run_status
from scoft_hpc.study.interrupt import SIGNALS, handle_signals
from scoft_hpc.study.job_array import PREPARE, Attempt, JobArray
from scoft_hpc.study.paths import RunDir, StudyDir
from scoft_hpc.study.periodic import run_periodically

BEAT_SECONDS = 20.0
EARLY_SECONDS = 60.0
"""Slurm may send the signal before the time limit so much earlier than asked."""


@dataclass(frozen=True)
class TaskContext:
    """Where this process is in Slurm: array, index, starts before this one, memory, and its array's folder."""

    job: int
    index: int
    restart: int
    memory_gb: float | None
    folder: Path

    @classmethod
    def from_environment(cls, folder: Path) -> TaskContext:
        """From the environment that Slurm gives an array's element.

        Raises:
            KeyError: outside of one.
        """
        memory = os.environ.get("SLURM_MEM_PER_NODE")
        return cls(
            int(os.environ["SLURM_ARRAY_JOB_ID"]),
            int(os.environ["SLURM_ARRAY_TASK_ID"]),
            int(os.environ.get("SLURM_RESTART_COUNT") or 0),
            float(memory) / 1024 if memory and memory.isdigit() and int(memory) else None,
            folder,
        )

    @property
    def name(self) -> str:
        return f"{self.job}_{self.index}"

    @property
    def study(self) -> StudyDir:
        return StudyDir(self.folder.parents[1])


@dataclass(frozen=True)
class ProcessExit:
    """How the process ended: its exit code (minus the signal that killed it) and the memory of its largest process."""

    code: int
    killed_for_memory: bool
    peak_gb: float


def unfinished(task: TaskContext, array: JobArray) -> list[RunDir]:
    """The task's runs that have neither a result nor a failure of this array's: those do not run again unchanged."""
    runs = [task.study.run(name) for name in array.tasks[task.index]]
    return [run for run in runs if not run.result.exists() and not _failed_here(run, array)]


def stalled_runs(task: TaskContext, array: JobArray, runs: Sequence[RunDir]) -> dict[RunDir, str]:
    """Runs whose attempts keep ending with nothing newly saved, each with what these ended on."""
    arrays, _ = job_array.read_readable(task.study)
    files = {
        run.run_id: RunFiles(run_status.status(run), None, None, run_status.progress(run)) for run in runs
    }
    tries = run_state.attempts_without_progress(files, arrays)
    stalled = {}
    for run in runs:
        cause = _last_cause(run, task, arrays)
        if tries.get(run.run_id, 0) >= policy(cause).tries:
            count = tries[run.run_id]
            stalled[run] = f"{count} attempts in a row saved nothing new; the last one ended on: {cause}"
    return stalled


def _last_cause(run: RunDir, task: TaskContext, arrays: Sequence[JobArray]) -> str:
    """Why the run's attempt before this one ended."""
    before = [(array, a) for array in arrays for a in array.attempts if run.run_id in a.progress]
    if not before:
        return LOST
    array, last = max(before, key=lambda pair: pair[1].started)
    record = array.accounting.get(last.task) if last == array.last(last.task) else None
    cause = cause_of_end(last.cause, record.state if record else None)
    if cause != LOST or last.cause is not None:
        return cause
    failure = run_status.earlier_failure(run)
    if failure is not None and float(failure["time"]) >= last.started:
        return str(failure["cause"])
    # A task that Slurm itself started again, without a signal or while it saved, was preempted or lost its node.
    by_slurm = array.name == task.folder.name and (last.ended is None or last.code == INTERRUPTED)
    return "preempted" if by_slurm else LOST


def begin(task: TaskContext, array: JobArray) -> Attempt:
    """Write this attempt down."""
    runs = [task.study.run(name) for name in array.tasks[task.index]]
    attempt = Attempt(
        task=task.index,
        restart=task.restart,
        job=task.name,
        host=os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
        started=time.time(),
        progress={run.run_id: run_status.progress(run) for run in runs},
        memory_gb=task.memory_gb,
    )
    job_array.write_attempt(task.folder, attempt)
    return attempt


def run(task: TaskContext, array: JobArray, attempt: Attempt, runs: Sequence[RunDir]) -> ProcessExit:
    """The process, from its start to its end; signals go on to it, and the attempt's file is touched all the while."""
    file = job_array.attempt_file(task.folder, attempt)
    how = ["--prepare"] if array.stage == PREPARE else []
    kills = _memory_kills()
    received: list[int] = []
    with handle_signals(received.append):
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", JOB_MODULE, *how, *(str(each.path) for each in runs)],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **_threads(), lease.JOB: task.name, lease.RESTART: str(task.restart)},
        )
        with run_periodically(lambda: _touch(file), BEAT_SECONDS), _mirror(task, array, runs) as mirror:
            passed = 0
            while process.poll() is None:
                for number in received[passed:]:
                    process.send_signal(number)
                passed = len(received)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
            mirror.end(0.0 if received else LAST_SECONDS)  # interrupted: what comes next does not wait for it
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2
    # A signal that asks for a save may find the process not yet listening, or no longer.
    code = INTERRUPTED if -process.returncode in SIGNALS else process.returncode
    return ProcessExit(code, _memory_kills() > kills, peak)


def _mirror(
    task: TaskContext, array: JobArray, runs: Sequence[RunDir]
) -> AbstractContextManager[LiveSyncProcess]:
    """The mirror of the task's curves, where the runs ask for one; a preparation has none."""
    if array.stage != PREPARE:
        with contextlib.suppress(ScoftError):  # settings that cannot be read are the process's to tell
            return live_sync(task.study, compose.load(runs[0].config), [run.run_id for run in runs])
    return contextlib.nullcontext(LiveSyncProcess(None))


def interruption_cause(task: TaskContext, array: JobArray, attempt: Attempt) -> str | None:
    """Why Slurm interrupted us; None if it is ending this job already, for a reason that it alone knows.

    A job that is being cancelled, preempted or timed out must not be queued again by itself: Slurm does so where
    the site wants it.
    """
    try:
        entry = client.queue().find(array.job_name, task.job, task.index)
    except client.NoAnswerError:
        entry = None
    if entry is not None and entry.state != "RUNNING":
        return None
    remaining = entry.remaining_seconds if entry else attempt.started + array.minutes * 60 - time.time()
    warned = float(array.sbatch_options.get("signal_delay_s", 0)) + EARLY_SECONDS
    return "time limit" if remaining <= warned else "preempted"


def end(
    task: TaskContext, attempt: Attempt, process_exit: ProcessExit, cause: str | None, note: str = ""
) -> None:
    """Write down how this attempt ended."""
    done = replace(attempt, ended=time.time(), code=process_exit.code, cause=cause, note=note)
    job_array.write_attempt(task.folder, done)


def classify_exit(task: TaskContext, process_exit: ProcessExit) -> tuple[str, str] | None:
    """Cause and message of a process that ended without recording a reason; None if it recorded one."""
    if process_exit.code in HANDLED_EXIT_CODES:
        return None
    had = f" of the {task.memory_gb:.0f} GB that the job has" if task.memory_gb else ""
    peak = f"its largest process held {process_exit.peak_gb:.1f} GB{had}"
    if process_exit.killed_for_memory:
        return "host memory", f"the system killed the process for memory; {peak}"
    if process_exit.code == -signal.SIGKILL:
        near = task.memory_gb is not None and process_exit.peak_gb > 0.8 * task.memory_gb
        cause = "host memory" if near else LOST
        return cause, f"the process was killed (SIGKILL), as for memory or by a person; {peak}"
    if process_exit.code < 0:
        return "error", f"the process was killed by {signal.Signals(-process_exit.code).name}"
    return (
        "error",
        f"the process ended with exit code {process_exit.code} before it could keep a reason; its log tells",
    )


def superseded(task: TaskContext) -> bool:
    """Whether Slurm has given up on this start and made another: then this one must not touch anything."""
    starts = task.folder.glob(f"{task.index}.*.json")
    return any(int(path.name.split(".")[1]) > task.restart for path in starts)


def _failed_here(run: RunDir, array: JobArray) -> bool:
    failure = run_status.failure(run)
    return failure is not None and float(failure["time"]) >= array.created


def _threads() -> dict[str, str]:
    """As many threads as the job has cores: where Slurm binds nothing, torch would take the whole node's."""
    cores = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE")
    return {"OMP_NUM_THREADS": cores, "MKL_NUM_THREADS": cores} if cores and cores.isdigit() else {}


def _touch(file: Path) -> None:
    with contextlib.suppress(OSError):
        os.utime(file)


def _memory_kills() -> int:
    """How often the kernel has killed for memory in this job's control group; 0 where the kernel does not say."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            group = Path("/sys/fs/cgroup" + line.rpartition(":")[2])
            events = (group / "memory.events").read_text().split()
            return int(events[events.index("oom_kill") + 1])
    return 0
