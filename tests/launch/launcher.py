"""A launcher as a process of its own, and the study that it works on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from scoft_hpc.study import lease, run_status
from scoft_hpc.study.paths import RunDir, StudyDir
from scoft_hpc.study.plan_file import read
from waiting import PATIENCE

FOLDER = Path(__file__).parent


class Launcher:
    """A launcher's process of its own session, as a terminal gives it, and the study it works on."""

    def __init__(
        self, output: Path, jobs: int = 2, cultures: tuple[str, ...] = ("korea",), **job: str
    ) -> None:
        self.study = StudyDir(output / "study")
        path = os.pathsep.join([str(FOLDER), *(entry for entry in sys.path if entry)])
        self._log = output / f"launcher-{time.monotonic_ns()}.txt"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(FOLDER / "launcher_process.py"), str(output), str(jobs), *cultures],
                env={**os.environ, "PYTHONPATH": path, **{f"JOB_{k}": v for k, v in job.items()}},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A test runner in the background ignores SIGINT, and children inherit that.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
            )

    def end(self) -> tuple[int, str]:
        return self.process.wait(PATIENCE), self.printed()

    def printed(self) -> str:
        return self._log.read_text()

    def go(self) -> None:
        """Let the runs that wait go on."""
        (self.study.path / "go.txt").touch()

    def runs(self) -> list[RunDir]:
        return [self.study.run(run.run_id) for run in read(self.study).runs]

    def workers(self) -> set[int]:
        """The pids of the jobs that own runs now."""
        owners = [lease.live_owner(run.lease) for run in self.runs()] if self.study.plan.exists() else []
        return {owner.pid for owner in owners if owner is not None}

    def states(self) -> Counter[str]:
        return Counter(run_status.status(run).value for run in self.runs())

    def has_passed(self, step: int) -> bool:
        """Whether a run is further than this step."""
        return any(run_status.step(run) > step for run in self.runs())

    def starts(self) -> Counter[str]:
        return Counter((self.study.path / "started.txt").read_text().split())

    def stops(self) -> list[str]:
        """The runs that heard that they are to stop."""
        stopped = self.study.path / "stopped.txt"
        return stopped.read_text().split() if stopped.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
