"""Jobs as processes of this machine, behind the interface that a queue has too: submit, poll, cancel.

Plain processes, not submitit's local executor, which was tried (1.5.4) and lost on three counts: one second
after Ctrl-C its controller kills the job, too soon for a save; it reports every exit code as 0; and an empty
job takes it 0.7 s. On a cluster, where none of this holds, submitit submits.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scoft_hpc.launch.planning.host_resources import JobSlot
from scoft_hpc.study.plan_file import log_number

JOB_MODULE = "scoft_hpc.execute"
"""The module that does the work of a job: `python -m JOB_MODULE RUN_DIR...`."""


@dataclass(frozen=True)
class Job:
    """A process and where it prints to."""

    process: subprocess.Popen[bytes]
    log: Path

    def poll(self) -> int | None:
        """None while the job runs; then its exit code, or minus the signal that killed it."""
        return self.process.poll()

    def cancel(self) -> None:
        """Ask the job to save and stop."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)


class Executor:
    """Starts jobs, each with a log of its own.

    `job_module` does the work, called as `python -m job_module RUN_DIR...`. It loads torch, which this process does
    not.
    """

    def __init__(self, logs: Path, job_module: str = JOB_MODULE) -> None:
        self.logs, self.job_module = logs, job_module
        logs.mkdir(parents=True, exist_ok=True)

    def submit(self, runs: Sequence[Path], slot: JobSlot) -> Job:
        """Start a job, in a session of its own: Ctrl-C in this terminal reaches it only through `cancel`."""
        last = max((log_number(path) for path in self.logs.glob("*.log")), default=0)
        log = self.logs / f"pack-{last + 1:03d}.log"
        with log.open("ab") as file:
            file.write(f"{slot.device}: {' '.join(run.name for run in runs)}\n".encode())
            file.flush()
            process = subprocess.Popen(
                [sys.executable, "-u", "-m", self.job_module, *map(str, runs)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **slot.env},
                start_new_session=True,
            )
        return Job(process, log)
